/**
 * MongoDB's pulse while a plan runs. A machine under load can be so slow that a process rightly gives its runs up without any
 * fault of the plan's: that is measured here, from outside, and not guessed.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { World } from '../world/world.ts'

export interface Pulse {
  /** For how long writes have been too slow for a heartbeat, in milliseconds. */
  slowMs: number
}

const everyMs = 200

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
    if (tookMs > world.leases.heartbeatMs / 2 && !signal.aborted) pulse.slowMs += tookMs
    await sleep(everyMs, undefined, { signal }).catch(() => {}) // an abort ends the loop
  }
}
