import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { silentLogger } from '../../ports/logger.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { OwnedRun, RunRepository } from '../../ports/run-repository.ts'
import { LiveRuns } from './live-runs.ts'
import { renewLeases } from './renew-leases.ts'

// Time stands still but for what a test lets pass: deadlines are told to the millisecond.
beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const leases = { leaseMs: 30_000, heartbeatMs: 5_000, selfFenceMs: 20_000 }

/** A heartbeat of one live run over a database that answers as `renew` does. */
function beatOver(renew: RunRepository['renewLeases']) {
  const liveRuns = new LiveRuns()
  const key = 'run' as RunKey
  const stop = new AbortController()
  liveRuns.add({ owned: { key } as OwnedRun, stop, done: new Promise(() => {}) })
  const renewing = vi.fn<RunRepository['renewLeases']>(renew)
  const ending = new AbortController()
  const loop = renewLeases(
    {
      runRepository: { renewLeases: renewing } as Partial<RunRepository> as RunRepository,
      liveRuns,
      clock: { now: () => new Date(), monotonicMs: () => performance.now() },
      logger: silentLogger,
      processId: 'process',
      leases,
    },
    ending.signal,
  )
  return {
    key,
    stop: stop.signal,
    renewing,
    async end() {
      ending.abort()
      await loop
    },
  }
}

it('lets go of a run when the time since its last confirmed heartbeat is up, while a beat still hangs', async () => {
  const beat = beatOver(() => new Promise(() => {}))
  await vi.advanceTimersByTimeAsync(leases.selfFenceMs - 1)
  expect(beat.stop.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(beat.stop.reason).toMatchObject({ code: 'RUN_FENCED' })
  await beat.end()
})

it('counts from the beat that was confirmed, by when it was asked', async () => {
  const answers = [Promise.resolve([{ key: 'run' as RunKey, cancelRequested: false }])]
  const beat = beatOver(async () => await (answers.shift() ?? new Promise(() => {})))
  await vi.advanceTimersByTimeAsync(leases.heartbeatMs + leases.selfFenceMs - 1)
  expect(beat.stop.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(beat.stop.aborted).toBe(true)
  await beat.end()
})

it('asks again soon after a beat that failed, so that a failover leaves more than one chance', async () => {
  let isAway = true
  const beat = beatOver(async () => {
    if (isAway) return await Promise.reject(new Error('The database is away'))
    return [{ key: 'run' as RunKey, cancelRequested: false }]
  })
  await vi.advanceTimersByTimeAsync(17_000)
  expect(beat.renewing.mock.calls.length).toBeGreaterThan(3)
  isAway = false
  await vi.advanceTimersByTimeAsync(20_000)
  expect(beat.stop.aborted).toBe(false)
  await beat.end()
})
