import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { backoffDelayMs } from './backoff.ts'

const backoff = { baseDelayMs: 250, maxDelayMs: 15_000 }

describe('backoff', () => {
  it('doubles its ceiling with each attempt, up to the longest wait', () => {
    const ceilings = [0, 1, 2, 5, 6, 7, 1000].map((attempt) => backoffDelayMs(attempt, backoff, { random: () => 1 }))
    expect(ceilings).toEqual([250, 500, 1000, 8000, 15_000, 15_000, 15_000])
  })

  it('spreads over the whole range below the ceiling', () => {
    expect(backoffDelayMs(3, backoff, { random: () => 0 })).toBe(0)
    const delays = Array.from({ length: 200 }, () => backoffDelayMs(3, backoff))
    expect(Math.min(...delays)).toBeLessThan(500)
    expect(Math.max(...delays)).toBeGreaterThan(1500)
  })

  it('never comes back before the time the server asked for', () => {
    fc.assert(
      fc.property(fc.nat(100), fc.nat(60_000), (attempt, atLeastMs) => {
        const delay = backoffDelayMs(attempt, backoff, { atLeastMs })
        expect(delay).toBeGreaterThanOrEqual(atLeastMs)
        expect(delay).toBeLessThanOrEqual(atLeastMs + backoff.maxDelayMs)
      }),
    )
  })
})
