/** The client on a router that a team mounts in its own tRPC app, whose root has a transformer: the real engine and real sockets. */
import { createEngine } from '@verbatim/core/server'
import { openTestDatabase, scriptedAgent } from '@verbatim/core/testing'
import { createAppRouter } from '@verbatim/api'
import { listen } from '@verbatim/test-kit/http'
import { initTRPC } from '@trpc/server'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import superjson from 'superjson'
import { expect, inject, it } from 'vitest'
import { createClient } from './create-client.ts'
import { collect } from './testing/connect.ts'

/** A transformer with two directions that no side may confuse. */
const marked = (mark: string) => ({
  serialize: (value: unknown) => ({ [mark]: value }),
  deserialize: (value: unknown) => {
    if (typeof value !== 'object' || value === null || !(mark in value)) throw new Error(`not encoded with ${mark}`)
    return (value as Record<string, unknown>)[mark]
  },
})

const transformers = { superjson, 'one for each direction': { input: marked('in'), output: marked('out') } }

it.each(Object.entries(transformers))(
  'calls, streams and errors go through the transformer: %s',
  async (_name, transformer) => {
    await using database = await openTestDatabase(inject('mongoUri'))
    await using engine = createEngine({ ...database.storage, agents: [scriptedAgent(['Hello', ' there'])] })
    const t = initTRPC.create({ transformer, isDev: false })
    const verbatim = createAppRouter({ engine, principalOf: () => ({ userId: 'ada' }) })
    const app = await listen(createHTTPHandler({ router: t.router({ verbatim }), basePath: '/trpc/' }))
    await using _app = app
    await using client = createClient({ url: app.url, mountedAs: 'verbatim', transformer })
    const run = client.chat('mounted').send('Hi')
    expect((await collect(run.text)).join('')).toBe('Hello there')
    expect(await run.message).toMatchObject({ status: 'completed', content: [{ text: 'Hello there' }] })
    expect(await client.sessions.get('mounted')).toMatchObject({ messageCount: 2 })
    expect((await collect(client.runs.follow(run.id).text)).join('')).toBe('Hello there')
    await expect(client.sessions.get('nowhere')).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
    await expect(client.chat('a b').send('Hi').started).rejects.toMatchObject({ code: 'INVALID_INPUT' })
  },
)
