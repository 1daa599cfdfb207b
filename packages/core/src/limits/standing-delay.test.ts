import { expect, it } from 'vitest'
import { StandingDelay } from './standing-delay.ts'

const options = { maxMs: 20, intervalMs: 500 } as const

/** Whose work takes no time alone. */
function open(): StandingDelay {
  const queue = new StandingDelay(options)
  queue.takeAlone(0, 0)
  return queue
}

/** Takes a delay each 100 ms, from `fromMs` on. */
function take(queue: StandingDelay, delaysMs: readonly number[], fromMs = 0): void {
  for (const [nth, delayMs] of delaysMs.entries()) queue.take(delayMs, fromMs + nth * 100)
}

it('a burst is no standing queue, however long its delays are', () => {
  const queue = open()
  take(queue, [900, 700, 500, 300, 100, 10, 800, 600, 400, 200, 50, 10])
  expect(queue.isStanding).toBe(false)
})

it('a queue stands when each delay of the interval was too long, and has passed when one is half as long', () => {
  const queue = open()
  take(queue, [21, 30, 25, 40, 22])
  expect(queue.isStanding).toBe(false)
  queue.take(21, 500)
  expect(queue.isStanding).toBe(true)
  queue.take(11, 600)
  expect(queue.isStanding).toBe(true)
  queue.take(10, 700)
  expect(queue.isStanding).toBe(false)
})

it('a distant database makes no queue: what the work takes alone does not count', () => {
  const queue = new StandingDelay(options)
  for (let nth = 0; nth < 40; nth++) queue.takeAlone(80, nth * 100)
  take(queue, [95, 95, 95, 95, 95, 95, 95], 4_000)
  expect(queue.isStanding).toBe(false)
  take(queue, [110, 110, 110, 110, 110, 110, 110], 5_000)
  expect(queue.isStanding).toBe(true)
})

it('work that is alone beside much other work does not hide a queue', () => {
  const queue = new StandingDelay(options)
  queue.takeAlone(3, 0)
  for (let nth = 1; nth < 100; nth++) queue.takeAlone(24, nth * 100)
  take(queue, [24, 24, 24, 24, 24, 24], 10_000)
  expect(queue.isStanding).toBe(true)
})

it('a database that paused once does not hide a queue', () => {
  const queue = new StandingDelay(options)
  queue.takeAlone(60_000, 0)
  for (let nth = 1; nth < 30; nth++) queue.takeAlone(4, nth * 100)
  take(queue, [40, 40, 40, 40, 40, 40], 4_000)
  expect(queue.isStanding).toBe(true)
})
