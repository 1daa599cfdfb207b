import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { VerbatimError } from '../contract/errors.ts'
import { poll } from './poll.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

function pollWith(step: () => Promise<number | void>) {
  const stop = new AbortController()
  const warnings: string[] = []
  const warn = ({ reason }: { reason?: unknown }, message: string) =>
    void warnings.push(`${String(reason)}: ${message}`)
  const logger = { info: () => {}, warn, error: () => {} }
  const done = poll(step, { pauseMs: 1_000, signal: stop.signal, logger, name: 'Counting' })
  return { stop, warnings, done }
}

it('poll runs the step at once, then after each pause that the step asks for, and otherwise after its own', async () => {
  const pauses = [0, 50, undefined]
  let steps = 0
  const { stop, done } = pollWith(async () => await Promise.resolve(pauses[steps++]))
  await vi.advanceTimersByTimeAsync(0)
  expect(steps).toBe(2)
  await vi.advanceTimersByTimeAsync(50)
  expect(steps).toBe(3)
  await vi.advanceTimersByTimeAsync(999)
  expect(steps).toBe(3)
  await vi.advanceTimersByTimeAsync(1)
  expect(steps).toBe(4)
  stop.abort()
  await done
  expect(vi.getTimerCount()).toBe(0)
})

it('poll logs the code of an error and runs the step again after the pause', async () => {
  let steps = 0
  const { stop, warnings, done } = pollWith(async () => {
    if (++steps === 1) return await Promise.reject(new VerbatimError('UNAVAILABLE'))
  })
  await vi.advanceTimersByTimeAsync(1_000)
  expect(steps).toBe(2)
  expect(warnings).toEqual(['UNAVAILABLE: Counting failed; retrying'])
  stop.abort()
  await done
})

it('poll does not report the error of a step that its signal has ended', async () => {
  const { stop, warnings, done } = pollWith(async () => {
    await Promise.resolve() // the poll has begun
    stop.abort()
    throw new Error('stopped')
  })
  await done
  expect(warnings).toEqual([])
})
