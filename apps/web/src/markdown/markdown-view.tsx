import { memo, use, useDeferredValue, useMemo, useState } from 'react'
import { CodeBlock } from './code/code-block.tsx'
import { DefinitionsContext, readDefinitions } from './definitions.ts'
import { createLayout } from './layout/lay-out-part.ts'
import { createSplitter } from './layout/split-markdown.ts'
import { LongPart } from './long-part.tsx'
import { LongList, LongParagraph, LongTable } from './long-blocks.tsx'
import { Parsed } from './parsed.tsx'
import { usePacedText } from './pace/use-paced-text.ts'

export { parse } from './parsed.tsx'

/** Parsing a part over so many characters, which cannot be cut, would hold up the keyboard. */
const maxAtOnce = 6_000

interface MarkdownViewProps {
  readonly source: string
  /** True while more of it may come. */
  readonly isGrowing: boolean
}

/** Markdown as it comes. HTML in it is shown as text, never run. A file of its own, because its parser is as large as the page. */
export function MarkdownView({ source, isGrowing }: MarkdownViewProps) {
  const text = usePacedText(source, isGrowing)
  return <MarkdownText source={text} isGrowing={isGrowing || text.length < source.length} />
}

/** So many parts are laid out together, or not at all while they are out of sight. */
const partsPerStretch = 24

/** All of the text. */
export function MarkdownText(props: MarkdownViewProps) {
  return (
    <div className="markdown" dir="auto">
      <Stretches {...props} />
    </div>
  )
}

const Stretches = memo(function Stretches({ source, isGrowing }: MarkdownViewProps) {
  const [split] = useState(createSplitter)
  const { parts, definitions } = split(source)
  // A part's place is its identity: new parts come after the others, and only the last one grows.
  const stretches = stretchesOf(parts).map((stretch, at, all) => (
    <div key={at} className="stretch" data-whole={at < all.length - 1}>
      {stretch.map((part, nth) => (
        <Part key={nth} source={part} isGrowing={isGrowing && at === all.length - 1 && nth === stretch.length - 1} />
      ))}
    </div>
  ))
  const known = useDefinitions(isGrowing ? wholeLines(definitions) : definitions)
  return <DefinitionsContext value={known}>{stretches}</DefinitionsContext>
})

/** What names a late definition is drawn anew when there is time. */
function useDefinitions(lines: string) {
  const around = use(DefinitionsContext)
  return useDeferredValue(useMemo(() => readDefinitions(lines, around), [lines, around]))
}

function wholeLines(lines: string): string {
  return lines.slice(0, lines.lastIndexOf('\n') + 1)
}

function stretchesOf(parts: readonly string[]): (readonly string[])[] {
  const count = Math.ceil(parts.length / partsPerStretch)
  return Array.from({ length: count }, (_, at) => parts.slice(at * partsPerStretch, (at + 1) * partsPerStretch))
}

const Part = memo(function Part({ source, isGrowing }: MarkdownViewProps) {
  const [layOut] = useState(createLayout)
  const [hasGrown] = useState(isGrowing)
  const layout = layOut(source)
  switch (layout.type) {
    case 'code':
      return <CodeBlock language={layout.language} code={layout.code} />
    case 'list':
      return <LongList {...layout} />
    case 'table':
      return <LongTable {...layout} />
    case 'paragraph':
      return <LongParagraph {...layout} />
    case 'quote':
      return (
        <blockquote>
          <Stretches source={layout.quoted} isGrowing={isGrowing} />
        </blockquote>
      )
    case 'markdown':
      // A part that was whole when the page met it is drawn at once.
      return hasGrown && source.length > maxAtOnce ? (
        <LongPart source={source} isGrowing={isGrowing} />
      ) : (
        <Parsed source={source} />
      )
  }
})
