/** A message that the model cannot take by itself is refused at every door, by name, before anything is stored. */
import { saying, startProvider } from '@verbatim/test-kit/provider'
import { json } from '@verbatim/test-kit/http'
import { expect, it } from 'vitest'
import { countDocuments, errorOf, openApp } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'

const sessionId = 'session-1'

it('a message over the window of the model is refused at each door, nothing is stored, and a shorter one is answered', async () => {
  await using provider = await startProvider(saying('Yes'))
  await using app = await openApp({
    agents: [claudeAt(provider.url, { contextTokens: 20_000, maxTokens: 1_000, model: 'claude-haiku-4-5' })],
  })
  const before = await countDocuments(app.database)
  const message = 'word '.repeat(20_000)
  const doors: [string, object][] = [
    ['/trpc/runs.start', { sessionId, message, runId: crypto.randomUUID() }],
    ['/chat/stream', { sessionId, message }],
    ['/chat/sse', { sessionId, message }],
  ]
  for (const [path, body] of doors) {
    const response = await app.fetch(path, json(body))
    expect(response.status).toBe(413)
    expect(await errorOf(response)).toMatchObject({
      code: 'MESSAGE_TOO_LARGE',
      retryable: false,
      data: { field: 'message', maxBytes: expect.any(Number) },
    })
  }
  const run = app.client().chat(sessionId).send(message)
  await expect(run.message).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE', data: { field: 'message' } })
  expect(await countDocuments(app.database)).toEqual(before)
  expect(provider.calls).toEqual([])

  expect(await app.client().chat(sessionId).send('Short').message).toMatchObject({ status: 'completed' })
  expect(provider.complaints).toEqual([])
})
