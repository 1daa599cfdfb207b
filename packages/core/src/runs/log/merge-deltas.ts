import type { RunEvent } from '../../contract/event.ts'

/** Longer texts are not merged further, so that one event stays small. */
const maxMergedLength = 16 * 1024

/** One event for two adjacent deltas of the same kind in the same block; undefined when they do not merge. */
export function mergeDeltas(first: RunEvent, second: RunEvent): RunEvent | undefined {
  if (first.type !== 'content_block_delta' || second.type !== 'content_block_delta') return undefined
  if (first.index !== second.index) return undefined
  const [a, b] = [first.delta, second.delta]
  if (a.type === 'text_delta' && b.type === 'text_delta' && a.text.length + b.text.length <= maxMergedLength) {
    return { ...first, delta: { ...a, text: a.text + b.text } }
  }
  if (
    a.type === 'thinking_delta' &&
    b.type === 'thinking_delta' &&
    a.thinking.length + b.thinking.length <= maxMergedLength
  ) {
    return { ...first, delta: { ...a, thinking: a.thinking + b.thinking } }
  }
  return undefined
}
