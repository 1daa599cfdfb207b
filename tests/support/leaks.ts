/** Counts what keeps a process alive, so that a test can tell that closing has released it all. */
import type { ServerCore } from '@verbatim/core/server'
import { expect, vi } from 'vitest'
import { patience } from './follow.ts'

const watched = ['Timeout', 'Immediate', 'TCPSocketWrap', 'TCPServerWrap'] as const

function countHeld(): Record<string, number> {
  const held = process.getActiveResourcesInfo()
  return Object.fromEntries(watched.map((kind) => [kind, held.filter((one) => one === kind).length]))
}

/** Call it before anything is opened; the answer's `expectNone` waits until no more is held than then. */
export function watchLeaks(): { expectNone(): Promise<void> } {
  const before = countHeld()
  return {
    async expectNone() {
      await vi.waitFor(() => {
        const now = countHeld()
        for (const kind of watched) if ((now[kind] ?? 0) > (before[kind] ?? 0)) expect(now).toEqual(before)
      }, patience)
    },
  }
}

/** After its runs have ended and its followers have left, an engine holds none of them. */
export async function expectIdle(core: ServerCore): Promise<void> {
  await vi.waitFor(() => {
    expect(core.stats()).toMatchObject({ runsActive: 0, followers: 0, pendingBytes: 0 })
  }, patience)
}
