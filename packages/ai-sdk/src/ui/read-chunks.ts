import { VerbatimError } from '@verbatim/core'
import type { EventBatch } from '@verbatim/core'
import type { UIMessageChunk } from 'ai'
import type { FileOptions } from './file-part.ts'
import { AnswerChunks } from './to-chunks.ts'

/** Where to begin in an answer. */
export interface ReadChunksOptions extends FileOptions {
  /** How many chunks the reader has; the rest follows exactly. @default 0 */
  readonly after?: number
}

/**
 * The chunks of an answer, as its batches come: those of its first run, then of each run that continues it, each from its start.
 *
 * @throws VerbatimError `INVALID_CURSOR` at the end, when the answer has fewer chunks than `after`
 * @example
 * for await (const chunks of readChunks(engine.runs.follow(owner, runId))) send(chunks)
 */
export async function* readChunks(
  batches: AsyncIterable<EventBatch> | Iterable<EventBatch>,
  { after = 0, ...files }: ReadChunksOptions = {},
): AsyncGenerator<UIMessageChunk[], void, void> {
  const answer = new AnswerChunks(files)
  let count = 0
  for await (const { events } of batches) {
    const chunks = events.flatMap((event) => answer.add(event))
    const fresh = chunks.slice(Math.max(0, after - count))
    count += chunks.length
    if (fresh.length > 0) yield fresh
  }
  if (count >= after) return
  throw new VerbatimError('INVALID_CURSOR', 'The answer has fewer chunks', { data: { field: 'startIndex' } })
}
