import { memo } from 'react'

/** Text as it was written, a line to a line. */
export function Lines({ text }: { text: string }) {
  return linesInChunks(text).map((chunk, at) => <Chunk key={at} text={chunk} />)
}

/** Laid out by itself: a line that is added moves no other. */
const Chunk = memo(function Chunk({ text }: { text: string }) {
  return <span className="line-chunk">{text}</span>
})

const chunkLines = 50

/** The lines in groups; joined they are the text. */
export function linesInChunks(text: string): string[] {
  const chunks: string[] = []
  let begin = 0
  let lines = 0
  for (let at = text.indexOf('\n'); at !== -1; at = text.indexOf('\n', at + 1)) {
    lines += 1
    if (lines % chunkLines !== 0) continue
    chunks.push(text.slice(begin, at + 1))
    begin = at + 1
  }
  return [...chunks, text.slice(begin)]
}
