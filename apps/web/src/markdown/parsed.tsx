import type { Root } from 'hast'
import type { Root as MarkdownRoot } from 'mdast'
import { isValidElement, memo, useMemo } from 'react'
import type { ComponentProps, ReactNode } from 'react'
import ReactMarkdown from 'react-markdown'
import type { Components } from 'react-markdown'
import { visit } from 'unist-util-visit'
import { CodeBlock } from './code/code-block.tsx'
import { useWithDefinitions } from './definitions.ts'
import { Anchor, ImageLink } from './links.tsx'
import { MathFormula } from './math/math-formula.tsx'
import { createParser } from './parse/create-parser.ts'

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

/** The rows alone: the head is drawn by itself. */
function takeRows() {
  return (tree: Root) => {
    tree.children = tree.children.filter((node) => node.type === 'element' && node.tagName === 'tbody')
  }
}

/** Says what an element is where the style sheet, or a group around it, would have browsers forget it. */
const roleOf: Readonly<Record<string, string>> = {
  li: 'listitem',
  thead: 'rowgroup',
  tbody: 'rowgroup',
  tr: 'row',
  th: 'columnheader',
  td: 'cell',
}

function giveRoles() {
  return (tree: Root) => {
    visit(tree, 'element', (element) => {
      const role = roleOf[element.tagName]
      if (role !== undefined) element.properties['role'] = role
    })
  }
}

/** Reads whole blocks. */
export const parse = createParser()

const parsers = {
  whole: parse,
  list: createParser({ rehype: [unwrap, giveRoles] }),
  'loose list': createParser({ remark: [loosen], rehype: [unwrap, giveRoles] }),
  paragraph: createParser({ rehype: [unwrap] }),
  table: createParser({ rehype: [unwrap, giveRoles] }),
  rows: createParser({ rehype: [unwrap, takeRows, giveRoles] }),
}

interface ParsedProps {
  readonly source: string
  /** The block that the text is a part of, when it is not whole. */
  readonly within?: keyof typeof parsers
}

export const Parsed = memo(function Parsed({ source, within = 'whole' }: ParsedProps) {
  const text = useWithDefinitions(source)
  return <Tree tree={useMemo(() => parsers[within](text), [within, text])} />
})

/** Drawn with what guards the page from addresses that run scripts. */
export const Tree = memo(function Tree({ tree }: { tree: Root }) {
  const plugins = useMemo(() => [() => () => tree], [tree])
  return <ReactMarkdown rehypePlugins={plugins} components={components} />
})

const components: Components = {
  pre: Preformatted,
  code: InlineCode,
  a: Anchor,
  img: ImageLink,
  table: ScrolledTable,
}

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
