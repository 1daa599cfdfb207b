import { expect, test } from 'vitest'
import { newSessionId } from './new-session-id.ts'
import { hrefOfSession, sessionIdOfHash } from './session-route.ts'

test.each(['session-1', 'a:b@c~d', newSessionId()])('an address leads back to its session %s', (sessionId) => {
  expect(sessionIdOfHash(hrefOfSession(sessionId))).toBe(sessionId)
})

test.each(['', '#', '#/', '#/s/', '#footnote', '#/s/%E0%A4%A'])('an address like %j names no session', (hash) => {
  expect(sessionIdOfHash(hash)).toBeUndefined()
})

test('a new session has a random UUID', () => {
  const ids = new Set(Array.from({ length: 100 }, newSessionId))
  expect(ids.size).toBe(100)
  for (const id of ids) expect(id).toMatch(/^[\da-f]{8}-[\da-f]{4}-4[\da-f]{3}-[89ab][\da-f]{3}-[\da-f]{12}$/)
})
