import { describe, expect, it } from 'vitest'
import { VerbatimError } from '../../contract/errors.ts'
import type { EventBatch } from '../../contract/event.ts'
import type { EventLog, RunKey } from '../../ports/event-log.ts'
import { RunTail } from './run-tail.ts'

const key = 'run' as RunKey

function batchAt(firstSeq: number): EventBatch {
  return { firstSeq, events: [{ type: 'message_stop' }] }
}

/** A log whose every read waits until the test releases it. */
function heldLog(stored: EventBatch[]) {
  const reads: (() => void)[] = []
  const read: EventLog['read'] = async (_key, { after }) => {
    const found = stored.filter((batch) => batch.firstSeq > after)
    await new Promise<void>((resolve) => reads.push(resolve))
    return found
  }
  return { reads, log: { read } as EventLog }
}

function tailOver(log: EventLog, maxRingBytes = 1_000): RunTail {
  return new RunTail(key, { eventLog: log, maxRingBytes, onRemoteWait: () => {} })
}

describe('run tail', () => {
  it('a run tail reads the log again when a hint comes during a read', async () => {
    const stored = [batchAt(1)]
    const { reads, log } = heldLog(stored)
    const tail = tailOver(log)
    const refreshed = tail.refresh()
    // Stored too late for the read that is under way: its hint must not be lost.
    stored.push(batchAt(2))
    void tail.refresh()
    reads.shift()?.()
    await expect.poll(() => reads.length).toBe(1)
    reads.shift()?.()
    await refreshed
    expect(tail.after(0)).toEqual([batchAt(1), batchAt(2)])
  })

  it('a run tail drops the oldest batches past its bound and then returns undefined instead of batches with a hole', () => {
    const tail = tailOver(heldLog([]).log, 10)
    for (let seq = 1; seq <= 5; seq++) tail.publish(batchAt(seq), 4)
    expect(tail.after(0)).toBeUndefined()
    expect(tail.after(3)).toEqual([batchAt(4), batchAt(5)])
    expect(tail.after(5)).toEqual([])
  })

  it('a run tail starts empty after a gap and ignores a batch that it has', () => {
    const tail = tailOver(heldLog([]).log)
    tail.publish(batchAt(1), 1)
    tail.publish(batchAt(1), 1)
    tail.publish(batchAt(7), 1)
    expect(tail.after(1)).toBeUndefined()
    expect(tail.after(6)).toEqual([batchAt(7)])
  })

  it('a run tail publishes an entry that is the next one, and reads the log for any other and for one that does not open', async () => {
    const stored = [1, 2, 3, 4].map(batchAt)
    const { reads, log } = heldLog(stored)
    const tail = tailOver(log)
    const stop = new AbortController()
    const left = tail.wait(stop.signal).catch(() => {})
    const entryAt = (firstSeq: number) => ({ firstSeq, bytes: 1, open: () => Promise.resolve(batchAt(firstSeq)) })
    await tail.grow(entryAt(1))
    await tail.grow(entryAt(1))
    expect([tail.after(0), reads.length]).toEqual([[batchAt(1)], 0])
    void tail.wait(stop.signal).catch(() => {})
    await tail.grow(entryAt(3))
    expect([tail.lastSeq, reads.length]).toEqual([1, 1])
    reads.shift()?.()
    await expect.poll(() => tail.lastSeq).toBe(4)
    void tail.wait(stop.signal).catch(() => {})
    await tail.grow({ firstSeq: 5, bytes: 1, open: () => Promise.reject(new VerbatimError('CONTENT_UNREADABLE')) })
    expect([tail.lastSeq, reads.length]).toEqual([4, 1])
    stop.abort()
    await left
  })

  it('a run tail wakes a waiter at a batch and releases a waiter whose signal aborts', async () => {
    const tail = tailOver(heldLog([]).log)
    const woken = tail.wait(new AbortController().signal)
    tail.publish(batchAt(1), 1)
    await woken
    const stop = new AbortController()
    const left = tail.wait(stop.signal)
    stop.abort(new Error('left'))
    await expect(left).rejects.toThrow('left')
  })

  it('a run tail rejects its waiters when the events are gone, but not when the database is away', async () => {
    const answers = [new VerbatimError('UNAVAILABLE'), new VerbatimError('SESSION_DELETED')]
    const read: EventLog['read'] = async () => await Promise.reject(answers.shift() ?? new Error('Read too often'))
    const tail = tailOver({ read } as EventLog)
    let hasFailed = false
    const waiting = tail.wait(new AbortController().signal).catch((error: unknown) => {
      hasFailed = true
      return error
    })
    await expect(tail.refresh()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(hasFailed).toBe(false)
    await expect(tail.refresh()).rejects.toMatchObject({ code: 'SESSION_DELETED' })
    expect(await waiting).toMatchObject({ code: 'SESSION_DELETED' })
  })
})
