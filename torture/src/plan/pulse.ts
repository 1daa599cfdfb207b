/**
 * The machine's pulse while a plan runs. Under load MongoDB can be so slow, or a process left waiting for so long, that it
 * rightly gives its runs up without any fault of the plan's: that is measured here, from outside, and not guessed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { World } from '../world/world.ts'

export interface Pulse {
  /** For how long writes, or this process's own timers, have been too slow, in milliseconds. */
  slowMs: number
}

const everyMs = 200
/** A write that takes so long is slow, however patient the leases are: a start is several of them, in milliseconds. */
const noticedMs = 250

/** Writes again and again until `signal` aborts. */
export function feelPulse(world: World, signal: AbortSignal): Pulse {
  const pulse: Pulse = { slowMs: 0 }
  void beat(world, pulse, signal)
  return pulse
}

async function beat(world: World, pulse: Pulse, signal: AbortSignal): Promise<void> {
  const beats = world.mongo.client.db('torture_pulse').collection('beats')
  while (!signal.aborted) {
    const askedAt = performance.now()
    await beats.updateOne({}, { $inc: { beats: 1 } }, { upsert: true }).catch(() => {}) // a failure that came late is slow, too
    const tookMs = performance.now() - askedAt
    const tooLongMs = Math.min(world.leases.heartbeatMs / 2, noticedMs)
    if (tookMs > tooLongMs && !signal.aborted) pulse.slowMs += tookMs
    // Behind the write and not beside it, so that a stall is counted once.
    const lateMs = await latenessOf(everyMs, signal)
    if (lateMs > tooLongMs) pulse.slowMs += lateMs
  }
}

/** Sleeps; resolves to by how much the timer was late, in milliseconds, and at once when `signal` aborts. */
export async function latenessOf(sleepMs: number, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now()
  await sleep(sleepMs, undefined, { signal }).catch(() => {}) // an abort is no lateness
  return Math.max(0, performance.now() - startedAt - sleepMs)
}
