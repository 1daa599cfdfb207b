/** A user's data through the client, against the real API, the real engine and a real MongoDB. */
import { openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'
import { collect, connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

const agents = [scriptedAgent(['Well, then.'])]
const operator = { authenticate: () => ({ userId: 'ada', scopes: ['verbatim:operator'] }) }

it('principals.export yields the lines of an export, and every other user is for operators only', async () => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options: { pollMs: 100 } })
  await using site = await serveEngine(test.engine)
  const client = connect(site)
  await client.chat('session-1').send('Hello').message
  const lines = await collect(client.principals.export())
  expect(lines.at(0)).toMatchObject({ type: 'header', userId: 'ada' })
  expect(lines.at(-1)).toMatchObject({ type: 'trailer', counts: { message: 2 } })
  const refused = { name: 'VerbatimError', code: 'FORBIDDEN' }
  await expect(collect(client.principals.export({ userId: 'eve' }))).rejects.toMatchObject(refused)
  await expect(client.principals.erase({ userId: 'eve' })).rejects.toMatchObject(refused)
  await expect(client.audit.list()).rejects.toMatchObject(refused)
})

it('an export that is cut is an error and not an end', async () => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options: { pollMs: 100 } })
  await using site = await serveEngine(test.engine)
  const client = connect(site, {
    // The head and the first lines, and then a clean end: what a proxy makes of a server that died.
    fetch: async (url, init) => {
      const response = await fetch(url, init)
      const [header = ''] = (await response.text()).split('\n')
      return new Response(`${header}\n`, { status: response.status })
    },
  })
  const lines: unknown[] = []
  await expect(collect(client.principals.export(), lines as never[])).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  expect(lines).toHaveLength(1)
})

it('a signal ends an export with its own reason, and a reader that stops early frees its place', async () => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options: { pollMs: 100 } })
  await using site = await serveEngine(test.engine)
  const client = connect(site)
  const reason = new Error('Enough')
  await expect(collect(client.principals.export({ signal: AbortSignal.abort(reason) }))).rejects.toBe(reason)
  for await (const line of client.principals.export()) if (line.type === 'header') break
  await expect.poll(async () => await collect(client.principals.export()).catch(() => [])).not.toEqual([])
})

it('an operator erases a user through the client and reads it in the audit', async () => {
  const options = { heartbeatMs: 1_000, selfFenceMs: 1_200, leaseMs: 1_500, sweepMs: 100, pollMs: 100 }
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents, options })
  await using site = await serveEngine(test.engine, operator)
  const client = connect(site)
  await client.chat('session-1').send('Hello').message
  const { id: erasureId } = await client.principals.erase({ userId: 'ada' })
  const user = { userId: 'ada', erasureId }
  await expect.poll(async () => (await client.principals.erase(user)).status, { timeout: 15_000 }).toBe('erased')
  const { items } = await client.audit.list()
  expect(items.map((entry) => entry.action)).toContain('principal_erased')
})
