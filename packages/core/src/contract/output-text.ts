/** The JSON value that an answer's text is, or begins to be: of agents with an output schema. */
import { textOf } from './content-block.ts'
import { isJson } from './json-value.ts'
import type { ContentBlock } from './content-block.ts'
import type { JsonValue } from './json-value.ts'
import { parsePartialJson } from './partial-json.ts'
import type { Answer } from './reduce-events.ts'

/** The last text of the last model call: what comes before a tool's call or a thought is not the output. */
export function outputTextOf({ content, cycleStart }: Pick<Answer, 'content' | 'cycleStart'>): string {
  const cycle = content.slice(cycleStart)
  const end = cycle.findLastIndex(isText) + 1
  const start = cycle.slice(0, end).findLastIndex((block) => !isText(block)) + 1
  return textOf(cycle.slice(start, end))
}

function isText({ type }: ContentBlock): boolean {
  return type === 'text'
}

/**
 * The output so far. While the answer is made it is what its text says yet, unchecked: fields and items are missing at the end, and the
 * last string may be cut. Undefined before the first character of it, and for an answer in prose.
 */
export function partialOutputOf(answer: Pick<Answer, 'content' | 'cycleStart' | 'output'>): JsonValue | undefined {
  if (answer.output !== null) return answer.output
  const text = outputTextOf(answer)
  // An output is an object.
  const value = /^\s*\{/.test(text) ? parsePartialJson(text) : undefined
  return isJson(value) ? value : undefined
}
