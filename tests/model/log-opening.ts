/** Where a sequence may begin: chance alone seldom gets so far. */
import type { WhenBusy } from '@verbatim/core'
import { start } from './admission-commands.ts'
import { finish } from './ending-commands.ts'
import { expectSame } from './log-invariants.ts'
import type { Model } from './log-model.ts'
import { longMs } from './log-world.ts'
import type { World } from './log-world.ts'
import { begin, cancelQueued, claimQueued } from './queue-commands.ts'

/** In a session whose queue was full, whose next run was claimed and begun, and where one that waited was cancelled, another waits. */
export async function openCrowded(model: Model, world: World): Promise<void> {
  const lapsed = { processId: 'process-0', offerMs: 0 }
  const held = { processId: 'process-1', offerMs: longMs }
  const admit = async (whenBusy: WhenBusy) => await start.run(model, world, { session: 0, whenBusy, offer: lapsed })
  const by = { run: { at: 0, isAny: false }, by: 0, isLate: false }
  await admit('reject')
  await admit('reject') // busy
  for (let prompts = 0; prompts < 3; prompts++) await admit('queue') // the third finds it full
  await finish.run(model, world, { ...by, status: 'completed', settles: false, continues: false, offer: lapsed })
  await claimQueued.run(model, world, { offer: held, isVain: false })
  await begin.run(model, world, { run: 0, offer: 0, isLate: false })
  await cancelQueued.run(model, world, { run: 0, offer: lapsed, isMeant: true })
  await admit('queue')
  await expectSame(world, model)
}
