import type { EventBatch } from '@verbatim/core'
import type { UIMessageChunk } from 'ai'
import { uiMessageChunkSchema } from 'ai'
import { describe, expect, it } from 'vitest'
import { recordedRuns } from '../testing/recorded-runs.ts'
import type { RecordedRun } from '../testing/recorded-runs.ts'
import { readChunks } from './read-chunks.ts'

describe.each(recordedRuns)('$title', ({ runs }) => {
  it('What a reader has and what it resumes with are the whole answer, whichever chunk comes first and however events are batched', async () => {
    const canonical = await chunksOf(runs, { size: 1 })
    for (let after = 0; after <= canonical.length; after++) {
      const rest = await chunksOf(runs, { after, size: 1 + (after % 4) })
      expect([...canonical.slice(0, after), ...rest]).toEqual(canonical)
    }
    await expect(chunksOf(runs, { after: canonical.length + 1, size: 3 })).rejects.toMatchObject({
      code: 'INVALID_CURSOR',
    })
  })

  it('Every chunk is one that the AI SDK takes, and the last one is a finish', async () => {
    const canonical = await chunksOf(runs, { size: 2 })
    const { validate } = uiMessageChunkSchema()
    for (const chunk of canonical) expect(await validate?.(chunk)).toMatchObject({ success: true })
    expect(canonical.map(({ type }) => type).filter((type) => type === 'start' || type === 'finish')).toEqual([
      'start',
      'finish',
    ])
    expect(canonical.at(-1)?.type).toBe('finish')
  })
})

async function chunksOf(
  runs: RecordedRun['runs'],
  { after = 0, size }: { after?: number; size: number },
): Promise<UIMessageChunk[]> {
  const chunks: UIMessageChunk[] = []
  const batches = runs.flatMap((events) => batchesOf(events, size))
  for await (const fresh of readChunks(batches, { after })) chunks.push(...fresh)
  return chunks
}

function batchesOf(events: RecordedRun['runs'][number], size: number): EventBatch[] {
  const starts = [...events.keys()].filter((at) => at % size === 0)
  return starts.map((at) => ({ firstSeq: at + 1, events: events.slice(at, at + size) }))
}
