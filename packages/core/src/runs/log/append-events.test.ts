import { expect, it } from 'vitest'
import { ownerOf } from '../../contract/principal.ts'
import type { RunKey } from '../../ports/event-log.ts'
import { EventWriter } from './append-events.ts'

const owner = ownerOf({ userId: 'ada', tenantId: 'home', scopes: [] })

it('a commit of many runs leaves others a turn of the event loop in between, and publishes each run once, in order', async () => {
  const commits: number[] = []
  const writer = new EventWriter({
    eventLog: {
      append(entries) {
        commits.push(entries.length)
        return Promise.resolve(entries.map(() => 'stored' as const))
      },
    },
    maxPendingBytes: 1_000,
    selfFenceMs: 1_000,
    clock: { now: () => new Date(), monotonicMs: () => performance.now() },
    onCommit() {},
  })
  const published: { run: number; seq: number; turn: number }[] = []
  let turn = 0
  let isOver = false
  const countTurns = () => {
    turn++
    if (!isOver) setImmediate(countTurns)
  }
  const appenders = Array.from({ length: 200 }, (_, run) =>
    writer.open({ key: `run-${run}` as RunKey, owner }, 0, {
      onCommitted: ({ firstSeq }) => void published.push({ run, seq: firstSeq, turn }),
      onLost: (error) => expect.fail(String(error)),
    }),
  )
  const { signal } = new AbortController()
  setImmediate(countTurns)
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
