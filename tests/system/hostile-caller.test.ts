/**
 * What `npm run hostile` measures, for a moment each and without a clock: whatever one signed-in caller sends, no call of another user
 * fails, no answer loses a token, and each refusal is a typed error.
 */
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'
import { attacks } from '../hostile/attacks.ts'
import { brokenIn } from '../hostile/judge.ts'
import { runPhases } from '../hostile/run-phases.ts'

it(
  'beside a hostile caller every honest user is answered, whole and without an error',
  { timeout: 300_000 },
  async () => {
    await using database = await openTestDatabase(inject('mongoUri'))
    const server = { uri: inject('mongoUri'), databaseName: database.databaseName }
    const phases = await runPhases({ server, attacks, users: 2, seconds: 0.5, quietSeconds: 0.5 })
    expect(phases.map(({ name }) => name)).toEqual(['quiet', ...attacks.map(({ name }) => name)])
    expect(phases.flatMap((phase) => brokenIn(phase).map((text) => `${phase.name}: ${text}`))).toEqual([])
    for (const { turns } of phases) expect(turns).toBeGreaterThan(0)
  },
)
