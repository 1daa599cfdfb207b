/**
 * Followers on two processes, dropped and resumed at any time while the run is written, ended, handed over and archived: each
 * sees every event once, in order, and none that is not stored. Holds P1 and P2.
 */
import type { TestDatabase } from '@verbatim/core/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, it } from 'vitest'
import { openDatabase } from '../support/engine.ts'
import { budget } from './budget.ts'
import { expectOnceAndInOrder, followCommands, openFollowWorld, tally } from './follow-commands.ts'
import type { FollowModel } from './follow-commands.ts'

let database: TestDatabase
beforeAll(async () => void (database = await openDatabase()))
afterAll(async () => await database[Symbol.asyncDispose]())

/** A model that never gets there would find nothing. */
const places = ['say', 'see all that was said', 'attach', 'drop', 'end', 'follow past the end', 'archive']

it(
  'each follower receives every event once and in order, wherever it resumes',
  async ({ annotate }) => {
    const commands = fc.noBias(fc.commands(followCommands, { maxCommands: 40, size: 'max' }))
    const property = fc.asyncProperty(commands, fc.boolean(), async (sequence, withHints) => {
      await using world = await openFollowWorld(database, withHints)
      const model: FollowModel = { said: '', end: undefined }
      await fc.asyncModelRun(() => ({ model, real: world }), sequence)
      await expectOnceAndInOrder(model, world)
    })
    await expect(fc.assert(property, budget(2).runs)).resolves.toBeUndefined()
    await annotate([...tally].map(([what, times]) => `${what}: ${times}`).join('\n'))
    for (const what of places) expect.soft(tally.get(what) ?? 0, what).toBeGreaterThanOrEqual(2)
  },
  budget(2).timeout,
)
