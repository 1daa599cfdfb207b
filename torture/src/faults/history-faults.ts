/** F15: a change stream whose place in MongoDB's own history is gone, for real. */
import { allComplete, runSketch, sketchPlan } from './scenario.ts'
import type { Scenario } from './scenario.ts'
import { World } from '../world/world.ts'

/** A replication log that forgets soon, in megabytes. */
const oplogSizeMB = 16

export const historyFaults: readonly Scenario[] = [
  {
    name: 'history-lost',
    covers: 'F15',
    what: 'a server sleeps while the oplog rolls over: its change stream has lost its history, and its followers nothing',
    nodes: 1,
    slow: true,
    async run(_world, seed) {
      await using world = await World.open(1, oplogSizeMB)
      // Server 0 writes all the time; server 1 watches, sleeps, and wakes up with the same stream.
      const plan = sketchPlan('history-lost', seed, {
        profile: 'patient',
        // Longer than the log takes to forget, so that the answers go on when the server wakes up.
        prompt: { tokens: 1_100, paceMs: 100 },
        readers: [{ via: 1 }, { via: 1, type: 'sdk' }, { via: 1, dropEvery: 3 }],
        faults: [{ atMs: 300, kind: 'history-lost', server: 1 }],
      })
      const { injected, verdict } = await runSketch(world, plan, allComplete)
      const violations = [...verdict.violations, ...(injected.has('history-lost') ? [] : ['no history was lost'])]
      return { injected, verdict: { ...verdict, violations } }
    },
  },
]
