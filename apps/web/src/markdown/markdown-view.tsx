import { memo } from 'react'
import type { ComponentProps } from 'react'
import ReactMarkdown from 'react-markdown'
import type { Components, Options } from 'react-markdown'
import remarkBreaks from 'remark-breaks'
import remarkCjkFriendly from 'remark-cjk-friendly'
import remarkGfm from 'remark-gfm'
import { CodeBlock } from './code-block.tsx'
import { endLinks } from './end-links.ts'
import { splitMarkdown } from './split-markdown.ts'

/** Markdown as it comes. HTML in it is shown as text, never run. A file of its own, because its parser is as large as the rest of the page. */
export function MarkdownView({ source }: { source: string }) {
  // A part's place is its identity: new parts come after the others, and only the last one grows.
  return (
    <div className="markdown" dir="auto">
      {splitMarkdown(source).map((part, at) => (
        <MarkdownPart key={at} source={part} />
      ))}
    </div>
  )
}

/** One tilde is a range in Chinese and Japanese (100~200), so only two strike out; a single newline is shown as it was written. */
const plugins: Options['remarkPlugins'] = [
  [remarkGfm, { singleTilde: false }],
  remarkCjkFriendly,
  remarkBreaks,
  endLinks,
]

const MarkdownPart = memo(function MarkdownPart({ source }: { source: string }) {
  return (
    <ReactMarkdown remarkPlugins={plugins} components={components}>
      {source}
    </ReactMarkdown>
  )
})

const components: Components = { pre: CodeBlock, a: Anchor, img: ImageLink, table: ScrolledTable }

/** Links lead out of the page, except those into the text itself, which must not change the address (it names the session). */
function Anchor({ href = '', children, id }: ComponentProps<'a'>) {
  if (!href.startsWith('#')) {
    return (
      <a href={href} id={id} target="_blank" rel="noreferrer">
        {children}
      </a>
    )
  }
  return (
    <a
      href={href}
      id={id}
      onClick={(event) => {
        event.preventDefault()
        const text = event.currentTarget.closest('.markdown')
        text?.querySelector(`#${CSS.escape(href.slice(1))}`)?.scrollIntoView({ block: 'center' })
      }}
    >
      {children}
    </a>
  )
}

/** Not loaded by itself: an address that a model wrote can carry the conversation to another server. */
function ImageLink({ src, alt }: ComponentProps<'img'>) {
  return <Anchor href={typeof src === 'string' ? src : ''}>{alt === undefined || alt === '' ? 'Image' : alt}</Anchor>
}

function ScrolledTable({ children }: ComponentProps<'table'>) {
  return (
    <div className="table-scroll">
      <table>{children}</table>
    </div>
  )
}
