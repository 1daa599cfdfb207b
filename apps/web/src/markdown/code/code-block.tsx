import { memo, useCallback, useRef } from 'react'
import { CopyButton } from '../../message/copy-button.tsx'
import { useHighlight } from './use-highlight.ts'

/** A block of code, with its language and a button that copies it. Long lines scroll, also by keyboard. */
export function CodeBlock({ language, code }: { language: string; code: string }) {
  const block = useRef<HTMLPreElement>(null)
  const textOf = useCallback(() => block.current?.textContent ?? '', [])
  useHighlight(block, { language, code })
  return (
    <figure className="code-block" data-testid="code">
      <figcaption>
        <span>{language === '' ? 'text' : language}</span>
        <CopyButton textOf={textOf} what="code" />
      </figcaption>
      {/* In the tab order, because what scrolls must be reachable by keyboard. */}
      <pre ref={block} tabIndex={0} dir="ltr">
        <code>
          {linesInChunks(code).map((chunk, at) => (
            <CodeChunk key={at} text={chunk} />
          ))}
        </code>
      </pre>
    </figure>
  )
}

/** Each chunk is laid out by itself: a line that is added moves no other. */
const CodeChunk = memo(function CodeChunk({ text }: { text: string }) {
  return <span className="code-chunk">{text}</span>
})

const chunkLines = 100

/** The lines in groups; joined they are the code. */
export function linesInChunks(code: string): string[] {
  const chunks: string[] = []
  let begin = 0
  let lines = 0
  for (let at = code.indexOf('\n'); at !== -1; at = code.indexOf('\n', at + 1)) {
    lines += 1
    if (lines % chunkLines !== 0) continue
    chunks.push(code.slice(begin, at + 1))
    begin = at + 1
  }
  return [...chunks, code.slice(begin)]
}
