/** The pace of the checks, on fake time. `reauthentication.test.ts` shows what streams make of it. */
import { VerbatimError } from '@verbatim/core'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { Caller, CredentialsEnd } from '../context.ts'
import { Reauthenticator } from './reauthenticator.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

const alice: Caller = { userId: 'alice', tenantId: 'default', scopes: [] }

function watchMany(count: number, identify: () => Promise<Caller | null>, caller = alice) {
  const warned: unknown[] = []
  const warn = (fields: object) => void warned.push(fields)
  const logger = { info: () => {}, warn, error: () => {} }
  const reauthenticator = new Reauthenticator({ reauthenticateMs: 60_000, logger })
  const ends: CredentialsEnd[] = []
  const release = Array.from({ length: count }, () =>
    reauthenticator.watch({ caller, identify, onEnd: (end) => void ends.push(end) }),
  )
  return { ends, warned, release: () => release.forEach((one) => one()) }
}

describe('the checks of a thousand streams', () => {
  it('are spread over half an interval, and each stream is checked once an interval', async () => {
    let calls = 0
    let mostInATick = 0
    const { ends, release } = watchMany(1_000, async () => {
      calls++
      return await Promise.resolve(alice)
    })
    const advance = async (seconds: number) => {
      for (let second = 1; second <= seconds; second++) {
        const before = calls
        await vi.advanceTimersByTimeAsync(1_000)
        mostInATick = Math.max(mostInATick, calls - before)
      }
    }
    await advance(29)
    expect(calls).toBe(0)
    await advance(32)
    expect(calls).toBe(1_000)
    await advance(59)
    expect(calls).toBeGreaterThan(1_900)
    expect(calls).toBeLessThanOrEqual(2_000)
    expect(mostInATick).toBeLessThan(100) // 33 on average
    expect(ends).toEqual([])
    release()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('run 16 at a time, all are made however slow the application is, and every stream has its turn', async () => {
    let running = 0
    let mostAtOnce = 0
    const checked: number[] = []
    const reauthenticator = new Reauthenticator({ reauthenticateMs: 60_000, logger: undefined })
    const releases = Array.from({ length: 1_000 }, (_, index) => {
      const identify = async () => {
        checked.push(index)
        mostAtOnce = Math.max(mostAtOnce, ++running)
        await new Promise((resolve) => setTimeout(resolve, 2_000)) // 8 a second, so a round takes over two intervals
        running--
        return alice
      }
      return reauthenticator.watch({ caller: alice, identify, onEnd: () => {} })
    })
    await vi.advanceTimersByTimeAsync(160_000)
    expect(mostAtOnce).toBe(16)
    expect(new Set(checked).size).toBe(1_000)
    releases.forEach((release) => release())
  })
})

describe('an application that does not answer', () => {
  it('keeps a stream for five intervals, warns once an interval, and then sends its client back', async () => {
    let calls = 0
    const { ends, warned } = watchMany(3, async () => {
      calls++
      return await Promise.reject(new VerbatimError('UNAVAILABLE'))
    })
    await vi.advanceTimersByTimeAsync(299_000)
    expect(ends).toEqual([])
    expect(calls).toBeGreaterThan(30)
    await vi.advanceTimersByTimeAsync(20_000)
    expect(ends).toEqual(['expired', 'expired', 'expired'])
    expect(warned.length).toBeGreaterThan(0)
    expect(warned.length).toBeLessThanOrEqual(6)
    expect(warned[0]).toEqual({ reason: 'UNAVAILABLE' })
    expect(vi.getTimerCount()).toBe(0)
  })

  it('holds no place for longer than 10 s when it never answers, and its late answer changes nothing', async () => {
    const answers: ((caller: Caller | null) => void)[] = []
    const { ends, release } = watchMany(40, async () => await new Promise((resolve) => void answers.push(resolve)))
    await vi.advanceTimersByTimeAsync(60_000 + 30_000)
    expect(answers.length).toBeGreaterThan(40)
    for (const answer of answers) answer(null)
    await vi.advanceTimersByTimeAsync(0)
    expect(ends.length).toBeLessThanOrEqual(16) // those whose check still ran
    release()
  })

  it('is forgiven as soon as it answers again', async () => {
    let isAway = true
    const { ends, release } = watchMany(1, async () => {
      return isAway ? await Promise.reject(new Error('away')) : await Promise.resolve(alice)
    })
    await vi.advanceTimersByTimeAsync(280_000)
    isAway = false
    await vi.advanceTimersByTimeAsync(20_000)
    isAway = true
    await vi.advanceTimersByTimeAsync(280_000)
    expect(ends).toEqual([])
    release()
  })
})

describe('an expiry', () => {
  it('ends a stream within a second, and a check that names a later one moves it', async () => {
    const start = new Date().getTime()
    const { ends } = watchMany(1, async () => await Promise.resolve({ ...alice, expiresAt: start + 200_000 }), {
      ...alice,
      expiresAt: start + 90_000,
    })
    await vi.advanceTimersByTimeAsync(199_000)
    expect(ends).toEqual([])
    await vi.advanceTimersByTimeAsync(2_000)
    expect(ends).toEqual(['expired'])
  })
})

it('a Reauthenticator refuses an interval that is not over 0', () => {
  for (const reauthenticateMs of [0, -1, Number.NaN]) {
    expect(() => new Reauthenticator({ reauthenticateMs, logger: undefined })).toThrow('reauthenticateMs')
  }
})
