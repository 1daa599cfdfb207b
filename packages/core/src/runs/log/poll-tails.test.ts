import { expect, it } from 'vitest'
import type { EventBatch } from '../../contract/event.ts'
import type { EventLog, RunKey } from '../../ports/event-log.ts'
import { TailPolls } from './poll-tails.ts'
import { RunTails } from './run-tail.ts'

const key = 'run' as RunKey

function batchAt(firstSeq: number): EventBatch {
  return { firstSeq, events: [{ type: 'message_stop' }] }
}

/** A tail that a follower waits at, in a process whose poll finds nothing by itself. */
function openPolled(options: { pollMs: number; livePollMs: number; hasHints: boolean }) {
  const looksAtMs: number[] = []
  const closing = new AbortController()
  let isActive = true
  const stored: EventBatch[] = []
  const eventLog: Pick<EventLog, 'read' | 'readNext'> = {
    read: (_key, { after }) => Promise.resolve(stored.filter((batch) => batch.firstSeq > after)),
    readNext() {
      looksAtMs.push(performance.now())
      return Promise.resolve([])
    },
  }
  const tails = new RunTails({ eventLog: eventLog as EventLog, maxRingBytes: 1_000, onRemoteWait: () => polls.start() })
  const polls = new TailPolls({
    tails,
    eventLog,
    runRepository: { findActive: (keys) => Promise.resolve(isActive ? [...keys] : []) },
    ...options,
    hasHints: () => options.hasHints,
    stopping: closing.signal,
  })
  const tail = tails.acquire(key)
  tail.joinAt(1)
  return {
    looksAtMs,
    tail,
    stored,
    end: () => void (isActive = false),
    async [Symbol.asyncDispose]() {
      closing.abort()
      await polls.closed()
    },
  }
}

it('the poll looks ever less often for a run that does not move', async () => {
  await using polled = openPolled({ pollMs: 600_000, livePollMs: 20, hasHints: false })
  const stop = new AbortController()
  const waiting = polled.tail.wait(stop.signal).catch(() => {})
  await expect.poll(() => polled.looksAtMs.length).toBe(5)
  const [first = 0, , , , fifth = 0] = polled.looksAtMs
  expect(fifth - first).toBeGreaterThanOrEqual(20 + 25 + 31 + 39 - 8) // a timer may fire a little early
  stop.abort()
  await waiting
})

it('the poll has the log read of a run that has ended although nothing new is where its follower stands', async () => {
  await using polled = openPolled({ pollMs: 20, livePollMs: 5, hasHints: true })
  const waiting = polled.tail.wait(new AbortController().signal)
  polled.stored.push(batchAt(2)) // as an archive has it: the poll itself does not find it
  await expect.poll(() => polled.looksAtMs.length).toBeGreaterThan(2)
  expect(polled.tail.lastSeq).toBe(1)
  polled.end()
  await waiting
  expect(polled.tail.after(1)).toEqual([batchAt(2)])
})
