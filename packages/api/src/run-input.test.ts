/** The input of a run over the wire: the same by tRPC and by plain HTTP. What the engine makes of it: tests/core/run-input. */
import { textOf } from '@verbatim/core'
import { openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { json, query, serve } from '@verbatim/test-kit/http'
import { expect, inject, it } from 'vitest'
import { z } from 'zod'
import { createApi } from './create-api.ts'
import { authenticateByName } from './testing/serve-test-api.ts'

async function openShop() {
  const scripted = scriptedAgent(({ principal, input }) => [
    `${principal.tenantId}/${principal.userId}: `,
    JSON.stringify(input),
  ])
  const agent = { ...scripted, input: z.strictObject({ lines: z.array(z.int()), urgent: z.boolean().default(false) }) }
  const test = await openTestEngine({ uri: inject('mongoUri'), agents: [agent] })
  const site = await serve(createApi({ engine: test.engine, authenticate: authenticateByName }), { user: 'acme/ada' })
  return {
    ...site,
    async [Symbol.asyncDispose]() {
      await site[Symbol.asyncDispose]()
      await test[Symbol.asyncDispose]()
    },
  }
}

it('both plain endpoints and tRPC give the agent its input, and who asks', async () => {
  await using shop = await openShop()
  const body = { sessionId: 's', message: 'Order', input: { lines: [1, 2] } }
  const said = 'acme/ada: {"lines":[1,2],"urgent":false}'
  expect(await (await shop.fetch('/chat/stream', json(body))).text()).toBe(said)
  expect(await (await shop.fetch('/chat/sse', json(body))).text()).toContain('"status":"completed"')
  const runId = crypto.randomUUID()
  expect((await shop.fetch('/trpc/runs.start', json({ ...body, runId, sessionId: 't' }))).status).toBe(200)
  await (await shop.fetch(`/chat/sse/${runId}`)).text()
  const page = await (await shop.fetch(query('messages.list', { sessionId: 't' }))).json()
  const [prompt, answer] = page.result.data.items
  expect(prompt.input).toEqual({ lines: [1, 2], urgent: false })
  expect(textOf(answer.content)).toBe(said)
})

it('an input that does not fit is refused with its place, by every way in, and without what was sent', async () => {
  await using shop = await openShop()
  const body = { sessionId: 's', message: 'Order', input: { lines: [1, 'secret'] } }
  for (const path of ['/trpc/runs.start', '/chat/stream', '/chat/sse']) {
    const more = path.startsWith('/trpc') ? { runId: crypto.randomUUID() } : {}
    const response = await shop.fetch(path, json({ ...body, ...more }))
    const text = await response.text()
    expect([response.status, text]).toEqual([400, expect.stringContaining('"field":"input.lines.1"')])
    expect(text).not.toContain('secret')
  }
  expect((await shop.fetch(query('sessions.get', { sessionId: 's' }))).status).toBe(404)
})
