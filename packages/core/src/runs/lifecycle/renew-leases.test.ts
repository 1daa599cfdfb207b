import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { parseEngineOptions } from '../../ports/engine-options.ts'
import type { ResolvedPorts } from '../../ports/engine-ports.ts'
import { silentLogger } from '../../ports/logger.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { OwnedRun, RunRepository } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'
import { LiveRuns } from './live-runs.ts'
import { renewLeases } from './renew-leases.ts'

// Time passes only where a test lets it: deadlines are exact to the millisecond.
beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const leases = { leaseMs: 30_000, heartbeatMs: 5_000, selfFenceMs: 20_000 }

/** A heartbeat of one live run over a database that answers as `renew` does. */
function beatOver(renew: RunRepository['renewLeases']) {
  const liveRuns = new LiveRuns()
  const key = 'run' as RunKey
  const stop = new AbortController()
  const renewing = vi.fn<RunRepository['renewLeases']>(renew)
  const ending = new AbortController()
  const ports: Partial<ResolvedPorts> = {
    runRepository: { renewLeases: renewing } as Partial<RunRepository> as RunRepository,
    clock: { now: () => new Date(), monotonicMs: () => performance.now() },
    logger: silentLogger,
  }
  const options = parseEngineOptions(leases)
  const context: Partial<EngineContext> = { ports: ports as ResolvedPorts, options, liveRuns, processId: 'process' }
  const loop = renewLeases(context as EngineContext, ending.signal)
  liveRuns.add({ owned: { key } as OwnedRun, stop, done: new Promise(() => {}) })
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

it('a run is released when the time since its last confirmed heartbeat is up, also while a heartbeat hangs', async () => {
  const beat = beatOver(() => new Promise(() => {}))
  await vi.advanceTimersByTimeAsync(leases.selfFenceMs - 1)
  expect(beat.stop.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(beat.stop.reason).toMatchObject({ code: 'RUN_FENCED' })
  await beat.end()
})

it('the time until a run is released counts from when its last confirmed heartbeat was sent', async () => {
  const answers = [Promise.resolve([{ key: 'run' as RunKey, cancelRequested: false }])]
  const beat = beatOver(async () => await (answers.shift() ?? new Promise(() => {})))
  await vi.advanceTimersByTimeAsync(leases.heartbeatMs + leases.selfFenceMs - 1)
  expect(beat.stop.aborted).toBe(false)
  await vi.advanceTimersByTimeAsync(1)
  expect(beat.stop.aborted).toBe(true)
  await beat.end()
})

it('a heartbeat that failed is repeated soon, so that a failover leaves more than one chance', async () => {
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
