/** Where a sequence may begin: chance alone seldom gets so far. */
import type { WhenBusy } from '@verbatim/core'
import { start } from './admission-commands.ts'
import { cancelQueued, finish } from './ending-commands.ts'
import { expectSame } from './log-invariants.ts'
import type { Model } from './log-model.ts'
import { agentId, longMs } from './log-world.ts'
import type { World } from './log-world.ts'

/** In a session whose queue was full, whose next run was promoted, and where one that waited was cancelled, another waits. */
export async function openCrowded(model: Model, world: World): Promise<void> {
  const processId = 'process-0'
  const holder = { processId, leaseMs: longMs, agentIds: [agentId] }
  const admit = async (whenBusy: WhenBusy) => await start.run(model, world, { session: 0, whenBusy, processId })
  const by = { run: { at: 0, isAny: false }, by: 0, isLate: false }
  await admit('reject')
  await admit('reject') // busy
  for (let prompts = 0; prompts < 3; prompts++) await admit('queue') // the third finds it full
  await finish.run(model, world, { ...by, status: 'completed', settles: false, continues: false, holder })
  await cancelQueued.run(model, world, { run: 0, isMeant: true })
  await admit('queue')
  await expectSame(world, model)
}
