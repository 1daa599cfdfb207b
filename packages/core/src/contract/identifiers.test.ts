import fc from 'fast-check'
import { expect, it } from 'vitest'
import { randomUuid, readRunId, RunId } from './identifiers.ts'

it('A random UUID is of version 4, and never the same twice', () => {
  const ids = new Set(Array.from({ length: 100 }, randomUuid))
  expect(ids.size).toBe(100)
  for (const id of ids) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
  expect(RunId.safeParse([...ids][0]).success).toBe(true)
})

it('A run id is read without the schema as with it', () => {
  const nearly = fc.stringMatching(/^[0-9a-gA-F]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/)
  const text = fc.oneof(
    fc.uuid(),
    fc.uuid().map((id) => id.toUpperCase()),
    nearly,
    fc.string(),
  )
  const edges = ['0', 'f', 'F'].map((digit) => randomUuid().replaceAll(/[^-]/g, digit))
  const examples = [...edges, ` ${randomUuid()}`, `${randomUuid()}\n`].map((edge): [string] => [edge])
  const check = (id: string) => {
    expect(readRunId(id)).toBe(RunId.safeParse(id).data)
  }
  fc.assert(fc.property(text, check), { numRuns: 1_000, examples })
})
