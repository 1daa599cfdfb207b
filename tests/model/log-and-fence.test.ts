/**
 * Log, fence and queue against a model: any order of starts, appends, takeovers, ends and archives, by processes that are
 * right, late or doubled, on the real MongoDB. Holds P2 to P5 in orders that no other test tries.
 */
import { openTestDatabase } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, inject, it } from 'vitest'
import { budget, maxCommands } from './budget.ts'
import type { Fault } from './faulty-client.ts'
import { commandsWith } from './log-commands.ts'
import { expectSame } from './log-invariants.ts'
import { emptyModel } from './log-model.ts'
import { tally } from './log-step.ts'
import { openCrowded } from './log-opening.ts'
import { openWorld } from './log-world.ts'

let database: TestDatabase
beforeAll(async () => void (database = await openTestDatabase(inject('mongoUri'))))
afterAll(async () => await database[Symbol.asyncDispose]())

function tried(faults: fc.Arbitrary<Fault[]>, share: number): Promise<void> {
  // Without bias: the short sequences that it would prefer say little, and what fails is made smaller anyway.
  const commands = fc.noBias(fc.commands(commandsWith(faults), { maxCommands, size: 'max' }))
  const property = fc.asyncProperty(fc.boolean(), commands, async (isCrowded, sequence) => {
    const world = await openWorld(database)
    const model = emptyModel()
    if (isCrowded) await openCrowded(model, world)
    await fc.asyncModelRun(() => ({ model, real: world }), sequence)
    await expectSame(world, model)
  })
  return fc.assert(property, budget(share).runs)
}

const noFaults = fc.constant<Fault[]>([])

const someFaults = fc.array(fc.record({ skip: fc.nat(6), when: fc.constantFrom<Fault['when']>('before', 'after') }), {
  maxLength: 3,
})

/** A model that never gets there would find nothing. Each is reached ten times or more by chance, or by half of all openings. */
const places = [
  'append: by a zombie, stored',
  'append: by a zombie, fenced',
  'finish: by the writer, stored',
  'finish: by the writer, fenced',
  'takeOver: taken',
  'start: queued',
  'start: busy',
  'start: full',
  'promote: to be driven',
  'promote: left to others',
  'resume: stored',
  'resume: fenced',
  'cancelQueued: cancelled',
  'continue: stored',
  'archive: first',
  'fault before',
  'fault after',
]

it(
  'the log behaves as its model in any order of calls',
  async () => {
    await expect(tried(noFaults, 2)).resolves.toBeUndefined()
  },
  budget(2).timeout,
)

it(
  'the log behaves as its model when calls fail before or after they are done',
  async () => {
    await expect(tried(someFaults, 1)).resolves.toBeUndefined()
  },
  budget().timeout,
)

it('the random sequences reach the states where the log could go wrong', async ({ annotate }) => {
  const counts = [...tally].map(([what, times]) => `${what}: ${times}`)
  await annotate(counts.toSorted((a, b) => a.localeCompare(b)).join('\n'))
  for (const what of places) expect.soft(tally.get(what) ?? 0, what).toBeGreaterThanOrEqual(2)
})
