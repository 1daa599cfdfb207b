/**
 * Measures how late the machine is while a plan runs. Under load MongoDB or a process can be so slow that the process rightly
 * gives its runs up, without a fault of the plan.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { World } from '../world/world.ts'

export interface Pulse {
  /** The time for which writes or this process's timers were too slow, in milliseconds. */
  slowMs: number
}

const everyMs = 200
/** A slower write counts even with long leases, since a start is several writes; in milliseconds. */
const slowWriteMs = 250

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
    await beats.updateOne({}, { $inc: { beats: 1 } }, { upsert: true }).catch(() => {}) // a late failure is slow as well
    const tookMs = performance.now() - askedAt
    const tooLongMs = Math.min(world.leases.heartbeatMs / 2, slowWriteMs)
    if (tookMs > tooLongMs && !signal.aborted) pulse.slowMs += tookMs
    // After the write and not beside it, so that a stall counts once.
    const lateMs = await latenessOf(everyMs, signal)
    if (lateMs > tooLongMs) pulse.slowMs += lateMs
  }
}

/** Sleeps until the timer or `signal`; resolves to the timer's lateness in milliseconds. */
export async function latenessOf(sleepMs: number, signal: AbortSignal): Promise<number> {
  const startedAt = performance.now()
  await sleep(sleepMs, undefined, { signal }).catch(() => {}) // an abort is not late
  return Math.max(0, performance.now() - startedAt - sleepMs)
}
