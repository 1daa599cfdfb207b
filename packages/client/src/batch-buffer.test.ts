import { lastSeqOf } from '@verbatim/core'
import { describe, expect, it } from 'vitest'
import { createBatchBuffer } from './batch-buffer.ts'
import { logOf } from './testing/events.ts'

const log = logOf(Array.from({ length: 50 }, (_, index) => `piece ${index} `))

describe('batch buffer', () => {
  it('gives what comes right after any seq', () => {
    const buffer = createBatchBuffer(1_000_000)
    for (const batch of log) buffer.add({ batch, chars: 10 })
    let seq = 0
    for (const batch of log) {
      expect(buffer.after(seq)).toEqual(batch)
      seq = lastSeqOf(batch)
    }
    expect(buffer.after(seq)).toBeUndefined()
    expect(buffer.after(2)).toEqual({ firstSeq: 3, events: log[1]!.events.slice(1) })
  })

  it('holds no more than it may, and says so to who comes late', () => {
    const buffer = createBatchBuffer(100)
    for (const batch of log) buffer.add({ batch, chars: 10 })
    expect(buffer.isFull).toBe(true)
    expect(buffer.after(0)).toBe('dropped')
    const held = log.slice(-10)
    expect(buffer.after(held[0]!.firstSeq - 1)).toEqual(held[0])
    expect(buffer.after(held[0]!.firstSeq - 2)).toBe('dropped')
  })

  it('keeps the newest batch, however large', () => {
    const buffer = createBatchBuffer(100)
    buffer.add({ batch: log[0]!, chars: 1000 })
    expect(buffer.after(0)).toEqual(log[0])
  })
})
