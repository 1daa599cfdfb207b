/** F15: a change stream whose resume token MongoDB no longer knows. */
import { allComplete, runSketch, sketchPlan, withFound } from './scenario.ts'
import type { Scenario } from './scenario.ts'
import { World } from '../world/world.ts'

/** A small oplog rolls over soon. */
const oplogSizeMB = 16

export const historyFaults: readonly Scenario[] = [
  {
    name: 'history-lost',
    covers: 'F15',
    what: 'a server sleeps while the oplog rolls over: its change stream fails, and its followers lose nothing',
    nodes: 1,
    slow: true,
    async run(_world, seed) {
      await using world = await World.open(1, { oplogSizeMB })
      // Server 0 writes all the time; server 1 sleeps, and wakes up with the same change stream.
      const plan = sketchPlan('history-lost', seed, {
        profile: 'patient',
        // Longer than a rollover, so that the answers still stream when the server wakes up.
        prompt: { tokens: 1_100, paceMs: 100 },
        readers: [{ via: 1 }, { via: 1, type: 'sdk' }, { via: 1, dropEvery: 3 }],
        faults: [{ atMs: 300, kind: 'history-lost', server: 1 }],
      })
      const outcome = await runSketch(world, plan, allComplete)
      return withFound(outcome, outcome.injected.has('history-lost') ? [] : ['the oplog did not roll over'])
    },
  },
]
