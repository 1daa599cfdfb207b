/** Counts what keeps a process alive, so that a test can tell that closing has released it all. */
import type { Engine } from '@verbatim/core/server'
import { expect, vi } from 'vitest'
import { turn } from './agents.ts'
import { waitOptions } from './follow.ts'

const watched = ['Timeout', 'Immediate', 'TCPSocketWrap', 'TCPServerWrap'] as const

type Held = Record<(typeof watched)[number], number>

function countHeld(): Held {
  const held = process.getActiveResourcesInfo()
  const countOf = (kind: string) => held.filter((one) => one === kind).length
  return {
    Timeout: countOf('Timeout'),
    Immediate: countOf('Immediate'),
    TCPSocketWrap: countOf('TCPSocketWrap'),
    TCPServerWrap: countOf('TCPServerWrap'),
  }
}

/** Call it before anything is opened; the answer's `expectNone` waits until no more is held than then. */
export async function watchLeaks(): Promise<{ expectNone(): Promise<void> }> {
  const before = await countAtRest()
  return {
    async expectNone() {
      const hasLeak = (now: Held) => watched.some((kind) => now[kind] > before[kind])
      const deadline = performance.now() + waitOptions.timeout
      let now = countHeld()
      // Without a timer: it would be counted too.
      while (hasLeak(now) && performance.now() < deadline) {
        await turn()
        now = countHeld()
      }
      if (hasLeak(now)) expect(now).toEqual(before)
    },
  }
}

/** What an earlier test has closed may still be held for some turns: what goes away later would hide a leak. */
async function countAtRest(): Promise<Held> {
  let earlier: Held
  let now = countHeld()
  do {
    earlier = now
    for (let turns = 0; turns < 20; turns++) await turn()
    now = countHeld()
  } while (watched.some((kind) => now[kind] !== earlier[kind]))
  return now
}

/** After its runs have ended and its followers have left, an engine holds none of them. */
export async function expectIdle(engine: Engine): Promise<void> {
  await vi.waitFor(() => {
    expect(engine.stats()).toMatchObject({ runsActive: 0, followers: 0, pendingBytes: 0 })
  }, waitOptions)
}
