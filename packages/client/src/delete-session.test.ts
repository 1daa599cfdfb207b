/** Deleting a session, against the real API, the real engine and a real MongoDB. */
import { createGate, openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'
import { connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

const sessionId = 'session-1'

it('ends a handle as cancelled, and refuses the next prompt for good', async () => {
  const agents = [scriptedAgent(['Well, ', createGate(), 'then.'])]
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options: { pollMs: 100 } })
  await using site = await serveEngine(test.engine)
  const client = connect(site)
  const run = client.chat(sessionId).send('Hello')
  await expect.poll(() => run.answer.content).toMatchObject([{ text: 'Well, ' }])
  expect(await client.sessions.delete(sessionId)).toEqual({ sessionId, isPurged: true })
  await expect.poll(() => run.status).toBe('cancelled')
  expect((await client.sessions.list()).items).toEqual([])
  const deleted = { name: 'VerbatimError', code: 'SESSION_DELETED' }
  await expect(client.sessions.get(sessionId)).rejects.toMatchObject(deleted)
  await expect(client.messages.list(sessionId)).rejects.toMatchObject(deleted)
  await expect(client.chat(sessionId).send('Hello?').message).rejects.toMatchObject(deleted)
  await expect(client.runs.follow(run.id).message).rejects.toMatchObject(deleted)
  await expect(client.sessions.delete('nowhere')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
})
