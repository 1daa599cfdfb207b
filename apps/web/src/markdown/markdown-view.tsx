import type { Root } from 'hast'
import type { Root as MarkdownRoot } from 'mdast'
import { isValidElement, memo, useState } from 'react'
import type { ComponentProps, ReactNode } from 'react'
import ReactMarkdown from 'react-markdown'
import type { Components, Options } from 'react-markdown'
import remarkBreaks from 'remark-breaks'
import remarkCjkFriendly from 'remark-cjk-friendly'
import remarkGfm from 'remark-gfm'
import remarkMath from 'remark-math'
import { CodeBlock } from './code/code-block.tsx'
import { endLinks } from './end-links.ts'
import { layOutPart } from './lay-out-part.ts'
import { toDollarMath } from './math/dollar-math.ts'
import { MathFormula } from './math/math-formula.tsx'
import { Anchor, ImageLink } from './links.tsx'
import { PlainText } from './plain-text.tsx'
import { createSplitter } from './split-markdown.ts'
import type { ListLayout } from './split-list.ts'
import type { ParagraphLayout } from './split-paragraph.ts'
import type { TableLayout } from './split-table.ts'

/** A part that grows past this and cannot be cut is shown without marks until it is whole: parsing it would hold up the keyboard. */
const maxGrowing = 16_000

interface MarkdownViewProps {
  readonly source: string
  /** True while more of it may come. */
  readonly isGrowing: boolean
}

/** So many parts are laid out together, or not at all while they are out of sight. */
const partsPerStretch = 24

/** Markdown as it comes. HTML in it is shown as text, never run. A file of its own, because its parser is as large as the page. */
export function MarkdownView({ source, isGrowing }: MarkdownViewProps) {
  const [split] = useState(createSplitter)
  const parts = split(source)
  // A part's place is its identity: new parts come after the others, and only the last one grows.
  return (
    <div className="markdown" dir="auto">
      {stretchesOf(parts).map((stretch, at, all) => (
        <div key={at} className="stretch" data-whole={at < all.length - 1}>
          {stretch.map((part, nth) => (
            <Part
              key={nth}
              source={part}
              isGrowing={isGrowing && at === all.length - 1 && nth === stretch.length - 1}
            />
          ))}
        </div>
      ))}
    </div>
  )
}

function stretchesOf(parts: readonly string[]): (readonly string[])[] {
  const count = Math.ceil(parts.length / partsPerStretch)
  return Array.from({ length: count }, (_, at) => parts.slice(at * partsPerStretch, (at + 1) * partsPerStretch))
}

const Part = memo(function Part({ source, isGrowing }: MarkdownViewProps) {
  const layout = layOutPart(source)
  switch (layout.type) {
    case 'code':
      return <CodeBlock language={layout.language} code={layout.code} />
    case 'list':
      return <LongList {...layout} />
    case 'table':
      return <LongTable {...layout} />
    case 'paragraph':
      return <LongParagraph {...layout} />
    case 'markdown':
      return isGrowing && source.length > maxGrowing ? <PlainText source={source} /> : <Parsed source={source} />
  }
})

function LongList({ isOrdered, start, isLoose, hasTasks, groups }: ListLayout) {
  const content = groups.map((items, at) => <Parsed key={at} source={items} within={isLoose ? 'loose list' : 'list'} />)
  const className = hasTasks ? 'contains-task-list' : undefined
  return isOrdered ? (
    <ol start={start === 1 ? undefined : start} className={className}>
      {content}
    </ol>
  ) : (
    <ul className={className}>{content}</ul>
  )
}

/** Columns of one width: a row that is added moves no other. */
function LongTable({ head, groups, columns }: TableLayout) {
  return (
    <div className="table-scroll">
      <table className="long-table" style={{ minWidth: `${columns * 7}rem` }}>
        <Parsed source={head} within="table" />
        {groups.map((rows, at) => (
          <Parsed key={at} source={rows} within="rows" />
        ))}
      </table>
    </div>
  )
}

function LongParagraph({ pieces }: ParagraphLayout) {
  return (
    <p>
      {pieces.map(({ source, after }, at) => (
        <PieceOfText key={at} source={source} after={after} />
      ))}
    </p>
  )
}

const PieceOfText = memo(function PieceOfText({ source, after }: ParagraphLayout['pieces'][number]) {
  return (
    <>
      <Parsed source={source} within="paragraph" />
      {after === '\n' ? <br /> : after}
    </>
  )
})

/** One tilde is a range in Chinese and Japanese (100~200), so only two strike out; a single newline is shown as it was written. */
const plugins: NonNullable<Options['remarkPlugins']> = [
  [remarkGfm, { singleTilde: false }],
  remarkCjkFriendly,
  [remarkMath, { singleDollarTextMath: false }],
  remarkBreaks,
  endLinks,
]

/** Only what is in the block: the block itself is there already. */
function unwrap() {
  return (tree: Root) => {
    tree.children = tree.children.flatMap((node) => (node.type === 'element' ? node.children : []))
  }
}

function loosen() {
  return (tree: MarkdownRoot) => {
    for (const node of tree.children) if (node.type === 'list') node.spread = true
  }
}

/** The rows alone: the head is there already. */
function takeRows() {
  return (tree: Root) => {
    tree.children = tree.children.filter((node) => node.type === 'element' && node.tagName === 'tbody')
  }
}

const pluginsOf = {
  list: plugins,
  'loose list': [...plugins, loosen],
  paragraph: plugins,
  table: plugins,
  rows: plugins,
}
const unwrapping: Options['rehypePlugins'] = [unwrap]
const takingRows: Options['rehypePlugins'] = [unwrap, takeRows]

interface ParsedProps {
  readonly source: string
  /** The block that the text is a part of, when it is not whole. */
  readonly within?: keyof typeof pluginsOf
}

const Parsed = memo(function Parsed({ source, within }: ParsedProps) {
  return (
    <ReactMarkdown
      remarkPlugins={within === undefined ? plugins : pluginsOf[within]}
      rehypePlugins={within === undefined ? [] : within === 'rows' ? takingRows : unwrapping}
      components={components}
    >
      {toDollarMath(source)}
    </ReactMarkdown>
  )
})

const components: Components = { pre: Preformatted, code: InlineCode, a: Anchor, img: ImageLink, table: ScrolledTable }

/** Code in a list or a quote, or a formula on lines of its own. */
function Preformatted({ children }: { children?: ReactNode }) {
  const props: unknown = isValidElement(children) ? children.props : undefined
  const { className = '', text } = readCode(props)
  if (className.includes('language-math')) return <MathFormula tex={text} isBlock />
  return <CodeBlock language={/language-(\S+)/.exec(className)?.[1] ?? ''} code={text.replace(/\n$/, '')} />
}

function InlineCode({ className, children }: ComponentProps<'code'>) {
  if (className?.includes('math-inline') !== true) return <code className={className}>{children}</code>
  return <MathFormula tex={textOf(children)} isBlock={false} />
}

function readCode(props: unknown): { className?: string; text: string } {
  const { className, children } = props as { className?: string; children?: ReactNode } // as the parser makes a `pre`
  return { ...(className === undefined ? {} : { className }), text: textOf(children) }
}

function textOf(children: ReactNode): string {
  return typeof children === 'string' ? children : ''
}

function ScrolledTable({ children }: ComponentProps<'table'>) {
  return (
    <div className="table-scroll">
      <table>{children}</table>
    </div>
  )
}
