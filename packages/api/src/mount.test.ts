/** The router inside a team's own tRPC app (its context, its superjson, its error format), and in process. */
import { createTRPCClient, httpLink, httpSubscriptionLink, splitLink } from '@trpc/client'
import { initTRPC, isTrackedEnvelope } from '@trpc/server'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import { EventSource } from 'eventsource'
import superjson from 'superjson'
import { listen } from '@verbatim/test-kit/http'
import { afterAll, beforeAll, describe, expect, expectTypeOf, it } from 'vitest'
import type { ApiContext } from './context.ts'
import { createAppRouter } from './create-router.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

interface TeamContext {
  readonly user: { readonly id: string; readonly company: string } | null
}

let app: TestApi
beforeAll(async () => void (app = await openTestApi()))
afterAll(async () => await app[Symbol.asyncDispose]())

const sessionOf = (name: string) => ({ sessionId: `${name}-${crypto.randomUUID()}` })

/** A team's app: its own root with superjson and its own error format. */
function createTeamRouter() {
  const t = initTRPC.context<TeamContext>().create({
    transformer: superjson,
    isDev: false,
    errorFormatter: ({ shape }) => ({ ...shape, data: { ...shape.data, team: 'blue' } }),
  })
  const verbatim = createAppRouter({
    engine: app.engine,
    principalOf: ({ user }: TeamContext) => user && { userId: user.id, tenantId: user.company },
  })
  return t.router({ verbatim, today: t.procedure.query(() => new Date(0)) })
}
type TeamRouter = ReturnType<typeof createTeamRouter>

async function serveTeam() {
  const handler = createHTTPHandler({
    router: createTeamRouter(),
    basePath: '/trpc/',
    createContext: ({ req }): TeamContext => {
      const id = req.headers.authorization
      return { user: id === undefined ? null : { id, company: 'acme' } }
    },
  })
  const { url, [Symbol.asyncDispose]: close } = await listen(handler)
  const clientOf = (user: string | undefined) => {
    const headers: Record<string, string> = user === undefined ? {} : { authorization: user }
    const eventSourceOptions = {
      fetch: async (input: string | URL, init: RequestInit) =>
        await fetch(input, { ...init, headers: { ...(init.headers as Record<string, string>), ...headers } }),
    }
    const shared = { url: `${url}/trpc`, transformer: superjson }
    return createTRPCClient<TeamRouter>({
      links: [
        splitLink({
          condition: ({ type }) => type === 'subscription',
          true: httpSubscriptionLink({ ...shared, EventSource, eventSourceOptions }),
          false: httpLink({ ...shared, headers }),
        }),
      ],
    })
  }
  return { clientOf, [Symbol.asyncDispose]: close }
}

describe("under a team's root with superjson", () => {
  it("a mounted router serves calls in the team's context, beside the team's procedures", async () => {
    await using team = await serveTeam()
    const client = team.clientOf('carol')
    expect(await client.today.query()).toEqual(new Date(0))
    const { sessionId } = sessionOf('mounted')
    const session = await client.verbatim.sessions.create.mutate({ sessionId, title: 'Mounted' })
    expect(session).toMatchObject({ id: sessionId, title: 'Mounted' })
    expectTypeOf(session.createdAt).toEqualTypeOf<string>()
    await expect(team.clientOf('dave').verbatim.sessions.get.query({ sessionId })).rejects.toMatchObject({
      data: { httpStatus: 404, verbatim: { code: 'SESSION_NOT_FOUND' } },
    })
  })

  it("a mounted router streams a run through the team's adapter, and resumes it", async () => {
    await using team = await serveTeam()
    const client = team.clientOf('carol')
    const runId = crypto.randomUUID()
    await client.verbatim.runs.start.mutate({ ...sessionOf('mounted'), runId, message: 'ein zwei' })
    const follow = async (lastEventId: string | null) =>
      await new Promise<string[]>((resolve, reject) => {
        const ids: string[] = []
        client.verbatim.runs.follow.subscribe(
          { runId, lastEventId },
          { onData: ({ id }) => void ids.push(id), onError: reject, onComplete: () => resolve(ids) },
        )
      })
    const ids = await follow(null)
    expect(ids.length).toBeGreaterThan(1)
    expect(await follow(ids.at(-2) ?? '')).toEqual(ids.slice(-1))
  })

  it("a mounted router keeps the typed errors in calls and streams, whatever the team's error format", async () => {
    await using team = await serveTeam()
    const anonymous = team.clientOf(undefined)
    await expect(anonymous.verbatim.sessions.list.query({})).rejects.toMatchObject({
      data: { code: 'UNAUTHORIZED', verbatim: { code: 'UNAUTHENTICATED' } },
    })
    await expect(team.clientOf('carol').verbatim.sessions.get.query({ sessionId: '$where' })).rejects.toMatchObject({
      data: { verbatim: { code: 'INVALID_INPUT', data: { field: 'sessionId' } } },
    })
    const error = await new Promise((resolve) => {
      team.clientOf('carol').verbatim.runs.follow.subscribe({ runId: crypto.randomUUID() }, { onError: resolve })
    })
    expect(error).toMatchObject({ data: { code: 'NOT_FOUND', verbatim: { code: 'RUN_NOT_FOUND' } } })
  })
})

describe('in process', () => {
  it("an in-process call takes the team's context", async () => {
    const caller = createTeamRouter().createCaller({ user: { id: 'erin', company: 'acme' } })
    const { sessionId } = sessionOf('caller')
    await caller.verbatim.sessions.create({ sessionId })
    expect(await caller.verbatim.sessions.get({ sessionId })).toMatchObject({ id: sessionId, activeRunId: null })
    await expect(createTeamRouter().createCaller({ user: null }).verbatim.sessions.list({})).rejects.toMatchObject({
      code: 'UNAUTHORIZED',
    })
  })

  it('an in-process follow yields tracked batches', async () => {
    const principal = { userId: 'frank', tenantId: 'default', scopes: [] }
    const caller = app.api.router.createCaller({ principal })
    expectTypeOf(app.api.router.createCaller).parameter(0).extract<ApiContext>().toEqualTypeOf<ApiContext>()
    const runId = crypto.randomUUID()
    await caller.runs.start({ ...sessionOf('caller'), runId, message: 'uno dos' })
    const ids: string[] = []
    for await (const item of await caller.runs.follow({ runId })) {
      // tRPC types the client's view; in process the value is the envelope.
      const envelope: unknown = item
      if (!isTrackedEnvelope(envelope)) throw new Error('Not tracked')
      ids.push(envelope[0])
    }
    expect(ids.at(-1)).toMatch(new RegExp(`^${runId}:\\d+$`))
    expect(await caller.runs.get({ runId })).toMatchObject({ status: 'completed' })
  })
})
