/** What may happen to runs, in any order: each command calls the ports as a process does, right or late, and tells the model. */
import fc from 'fast-check'
import { expect } from 'vitest'
import { start, startAgain } from './admission-commands.ts'
import { cancelQueued, finish, finishAgain, recover, requestCancel } from './ending-commands.ts'
import type { Fault } from './faulty-client.ts'
import { expectSame } from './log-invariants.ts'
import * as rules from './log-model.ts'
import type { Model } from './log-model.ts'
import { count, nth, pick } from './log-step.ts'
import type { Step } from './log-step.ts'
import type { World } from './log-world.ts'
import { append, expire, renew, resume, takeOver } from './writing-commands.ts'

export type Command = fc.AsyncCommand<Model, World>

/** All commands; the calls of each run into `faults`. */
export function commandsWith(faults: fc.Arbitrary<Fault[]>): fc.Arbitrary<Command>[] {
  const command = <TInput>(name: string, { input, isPossible, run }: Step<TInput>): fc.Arbitrary<Command> =>
    fc.tuple(input, faults).map(([given, armed]) => ({
      check: (model) => isPossible(model, given),
      async run(model, world) {
        world.faults.arm(armed)
        const about = await run(model, world, given)
        for (const { when } of world.faults.struck()) count(`fault ${when}`)
        world.faults.arm([])
        count(name)
        await expectSame(world, model, about)
      },
      toString: () => `${name}(${fc.stringify(given)}${armed.length === 0 ? '' : `, faults ${fc.stringify(armed)}`})`,
    }))
  // Named twice: without them nothing gets far.
  const often = [
    command('start', start),
    command('append', append),
    command('expire', expire),
    command('takeOver', takeOver),
  ]
  return [
    ...often,
    ...often,
    command('finish', finish),
    command('finish', finish),
    command('resume', resume),
    command('recover', recover),
    command('startAgain', startAgain),
    command('renew', renew),
    command('finishAgain', finishAgain),
    command('requestCancel', requestCancel),
    command('cancelQueued', cancelQueued),
    command('archive', archive),
    command('archiveNext', archiveNext),
  ]
}

const archive: Step<{ run: number }> = {
  input: fc.record({ run: nth }),
  isPossible: (model) => model.runs.some(rules.isEnded),
  async run(model, world, { run: at }) {
    const run = pick(model.runs.filter(rules.isEnded), at)
    count(run.isArchived ? 'archive: again' : 'archive: first')
    await world.storage.eventLog.archive([run.key], { expiresAt: new Date('2100-01-01') })
    run.isArchived = true
    return [run]
  },
}

const archiveNext: Step<null> = {
  input: fc.constant(null),
  isPossible: (model) => model.runs.length > 0,
  async run(model, world) {
    const { runRepository, eventLog } = world.storage
    const [key] = await runRepository.findRunsToArchive(0, 1)
    const due = model.runs.filter((run) => rules.isEnded(run) && !run.isMarked)
    if (due.length === 0) {
      expect(key).toBeUndefined()
      return []
    }
    const run = due.find((one) => one.key === key)
    if (run === undefined) throw new Error('What is to be archived has not ended, or is archived')
    const expiresAt = new Date('2100-01-01')
    await eventLog.archive([run.key], { expiresAt })
    await runRepository.markArchived([run.key], { expiresAt })
    run.isArchived = true
    run.isMarked = true
    return [run]
  },
}
