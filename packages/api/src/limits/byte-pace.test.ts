import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { BytePace } from './byte-pace.ts'

const { signal } = new AbortController()

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** How long `caller` waits for its next call, in milliseconds. */
async function waitOf(pace: BytePace, caller: string): Promise<number> {
  const beganMs = performance.now()
  let tookMs: number | undefined
  const kept = pace.keep(caller, signal).then(() => void (tookMs = performance.now() - beganMs))
  for (let ms = 0; tookMs === undefined && ms <= 60_000; ms += 10) await vi.advanceTimersByTimeAsync(ms === 0 ? 0 : 10)
  await kept
  return tookMs ?? Number.POSITIVE_INFINITY
}

it('a caller may be ahead of its pace by a second, and then waits until it is not', async () => {
  const pace = new BytePace({ maxBytesPerSecond: 1_000 })
  pace.charge('a', 1_000)
  expect(await waitOf(pace, 'a')).toBe(0)
  pace.charge('a', 1_000)
  expect(await waitOf(pace, 'a')).toBeGreaterThanOrEqual(990)
  expect(await waitOf(pace, 'a')).toBe(0)
})

it('a caller that is ahead holds up no other', async () => {
  const pace = new BytePace({ maxBytesPerSecond: 1_000 })
  pace.charge('a', 60_000)
  expect(await waitOf(pace, 'b')).toBe(0)
})

it('a caller that leaves does not wait', async () => {
  const pace = new BytePace({ maxBytesPerSecond: 1 })
  pace.charge('a', 60_000)
  const gone = new AbortController()
  const waiting = pace.keep('a', gone.signal)
  gone.abort()
  await expect(waiting).rejects.toThrow('abort')
})
