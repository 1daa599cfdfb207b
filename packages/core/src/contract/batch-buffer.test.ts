import { describe, expect, it } from 'vitest'
import { createBatchBuffer } from './batch-buffer.ts'
import { lastSeqOf } from './event.ts'
import type { EventBatch } from './event.ts'

const log = Array.from({ length: 50 }, (_, at): EventBatch => {
  const text = `piece ${at}`.padEnd(8)
  const delta = { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } } as const
  return { firstSeq: 10 + 2 * at, events: [delta, delta] }
})
const [first] = log as [EventBatch]
const size = JSON.stringify(first).length

describe('A batch buffer', () => {
  it('a batch buffer returns what comes right after any seq', () => {
    const buffer = createBatchBuffer(1_000_000)
    for (const batch of log) buffer.add(batch)
    let seq = first.firstSeq - 1
    for (const batch of log) {
      expect(buffer.after(seq)).toEqual(batch)
      seq = lastSeqOf(batch)
    }
    expect(buffer.after(seq)).toBeUndefined()
    expect(buffer.after(first.firstSeq)).toEqual({ firstSeq: first.firstSeq + 1, events: first.events.slice(1) })
  })

  it('a batch buffer holds no more than its bound and tells a late reader that a batch was dropped', () => {
    const buffer = createBatchBuffer(10 * size)
    for (const batch of log) buffer.add(batch)
    expect(buffer.isFull).toBe(true)
    expect(buffer.after(0)).toBe('dropped')
    const held = log.slice(-10)
    expect(buffer.after(held[0]!.firstSeq - 1)).toEqual(held[0])
    expect(buffer.after(held[0]!.firstSeq - 2)).toBe('dropped')
  })

  it('a batch buffer keeps the newest batch, however large it is', () => {
    const buffer = createBatchBuffer(1)
    for (const batch of log) buffer.add(batch)
    expect(buffer.after(log.at(-1)!.firstSeq - 1)).toEqual(log.at(-1))
  })
})
