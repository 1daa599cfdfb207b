import { expect, it } from 'vitest'
import { randomUuid, RunId } from './identifiers.ts'

it('A random UUID is of version 4, and never the same twice', () => {
  const ids = new Set(Array.from({ length: 100 }, randomUuid))
  expect(ids.size).toBe(100)
  for (const id of ids) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
  expect(RunId.safeParse([...ids][0]).success).toBe(true)
})
