/** Did the AI SDK's transport receive exactly the chunks that the stored logs of the answer make? */
import { readChunks } from '@verbatim/ai-sdk'
import type { ChunkHistory } from '../clients/ai-sdk-reader.ts'
import { parseEvents } from '../clients/history.ts'
import type { Part } from './parts.ts'

export async function checkChunks(
  { reader, chunks, failure }: ChunkHistory,
  parts: readonly Part[],
): Promise<string[]> {
  const expected = await chunksOf(parts)
  const at = chunks.findIndex((chunk, index) => chunk !== expected[index])
  const excerpt = (of: readonly string[]) => (of[at] ?? '(nothing)').slice(0, 300)
  if (at !== -1)
    return [`${reader}: chunk ${at} of ${chunks.length} is ${excerpt(chunks)} instead of ${excerpt(expected)}`]
  if (failure !== undefined) return [`${reader}: gave up after ${chunks.length} of ${expected.length} with ${failure}`]
  return chunks.length === expected.length ? [] : [`${reader}: ended at chunk ${chunks.length} of ${expected.length}`]
}

/** An interrupted run goes on in its continuation; an answer that was cut at its greatest length has ended. */
async function chunksOf(parts: readonly Part[]): Promise<string[]> {
  const end = parts.findIndex(({ answer }) => answer.status !== 'interrupted')
  const shown = end === -1 ? parts : parts.slice(0, end + 1)
  const batches = shown.map(({ stored }) => ({ firstSeq: 1, events: parseEvents(stored.events) }))
  const chunks: string[] = []
  for await (const some of readChunks(batches)) chunks.push(...some.map((chunk) => JSON.stringify(chunk)))
  return chunks
}
