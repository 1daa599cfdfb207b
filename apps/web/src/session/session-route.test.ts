import { randomUuid } from '@verbatim/client'
import { expect, test } from 'vitest'
import { hrefOfSession, sessionIdOfHash } from './session-route.ts'

test.each(['session-1', 'a:b@c~d', randomUuid()])('The address of session %s leads back to it', (sessionId) => {
  expect(sessionIdOfHash(hrefOfSession(sessionId))).toBe(sessionId)
})

test.each(['', '#', '#/', '#/s/', '#footnote', '#/s/%E0%A4%A'])('The address %j names no session', (hash) => {
  expect(sessionIdOfHash(hash)).toBeUndefined()
})
