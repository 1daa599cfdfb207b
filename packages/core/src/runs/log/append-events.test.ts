import { setImmediate } from 'node:timers/promises'
import { expect, it } from 'vitest'
import type { EventBatch } from '../../contract/event.ts'
import { ownerOf } from '../../contract/principal.ts'
import type { EventLog, RunKey } from '../../ports/event-log.ts'
import { EventWriter } from './append-events.ts'
import type { RunAppender } from './append-events.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'home', scopes: [] })

/** A writer to a log that stores at once, in a process of so many runs, with the sizes of its commits. */
function openWriter(liveRuns: number) {
  const commits: number[] = []
  const append: EventLog['append'] = (entries, options) => {
    if (options.signal.aborted) return Promise.reject(options.signal.reason)
    commits.push(entries.length)
    return Promise.resolve(entries.map(() => 'stored' as const))
  }
  const clock = { now: () => new Date(), monotonicMs: () => performance.now() }
  const writer = new EventWriter({
    eventLog: { append },
    maxPendingBytes: 1_000_000,
    selfFenceMs: 1_000,
    clock,
    liveRuns: () => liveRuns,
    onCommit() {},
  })
  return { writer, commits }
}

function openRun(writer: EventWriter, onCommitted: (batch: EventBatch) => void = () => {}): RunAppender {
  const onLost = (error: unknown) => expect.fail(String(error))
  return writer.open({ key: 'run' as RunKey, owner }, 0, { onCommitted, onLost })
}

const { signal } = new AbortController()

it('a commit of many runs leaves others a turn of the event loop in between, and publishes each run once, in order', async () => {
  const { writer, commits } = openWriter(0)
  const published: { run: number; seq: number; turn: number }[] = []
  let turn = 0
  let isOver = false
  const countTurns = () => {
    turn++
    if (!isOver) globalThis.setImmediate(countTurns)
  }
  const appenders = Array.from({ length: 200 }, (_, run) =>
    openRun(writer, ({ firstSeq }) => void published.push({ run, seq: firstSeq, turn })),
  )
  globalThis.setImmediate(countTurns)
  for (const appender of appenders) await appender.append({ type: 'message_stop' }, signal)
  for (const appender of appenders) await appender.flush()
  // The second commit begins when the first is published as a whole.
  for (const appender of appenders) await appender.append({ type: 'message_stop' }, signal)
  for (const appender of appenders) await appender.flush()
  isOver = true
  expect(commits).toEqual([200, 200])
  const order = appenders.map((_, run) => run)
  expect(published.map(({ run, seq }) => [seq, run])).toEqual([1, 2].flatMap((seq) => order.map((run) => [seq, run])))
  const perTurn = Object.values(Object.groupBy(published, (one) => one.turn)).map((ofTurn) => ofTurn?.length)
  expect(Math.max(...perTurn.map((count) => count ?? 0))).toBeLessThanOrEqual(64)
})

it('where the process has a few runs, what arrives is committed in the next turn of the event loop', async () => {
  const { writer, commits } = openWriter(5)
  const appender = openRun(writer)
  for (let nth = 1; nth <= 50; nth++) {
    await appender.append({ type: 'message_stop' }, signal)
    await setImmediate()
    await setImmediate()
    expect(commits).toHaveLength(nth)
  }
})

it('where it has many, no two commits begin within 10 ms, and every event is published once, in order', async () => {
  const { writer, commits } = openWriter(100)
  const published: number[] = []
  const appender = openRun(writer, ({ firstSeq, events }) => events.forEach((_, at) => published.push(firstSeq + at)))
  const beganMs = performance.now()
  let appended = 0
  while (performance.now() - beganMs < 100) {
    await appender.append({ type: 'message_stop' }, signal)
    appended++
    await setImmediate()
  }
  await appender.flush()
  // A timer may fire up to a millisecond early.
  expect(commits.length).toBeLessThanOrEqual((performance.now() - beganMs) / 9 + 1)
  expect(commits.length).toBeGreaterThan(1)
  expect(published).toEqual(Array.from({ length: appended }, (_, at) => at + 1))
})

it('a writer that is closed while it waits refuses what waits at once', async () => {
  const { writer, commits } = openWriter(100)
  const lost: unknown[] = []
  const events = { onCommitted() {}, onLost: (error: unknown) => lost.push(error) }
  const appender = writer.open({ key: 'run' as RunKey, owner }, 0, events)
  await appender.append({ type: 'message_stop' }, signal)
  await appender.flush()
  await appender.append({ type: 'message_stop' }, signal)
  writer.close()
  await expect(appender.flush()).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  expect(lost).toHaveLength(1)
  expect(commits).toEqual([1])
})
