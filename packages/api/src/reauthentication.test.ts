/** What becomes of open streams when the credentials end that they were opened with: on real sockets, for every kind of stream. */
import { createTRPCClient, httpSubscriptionLink } from '@trpc/client'
import { initTRPC } from '@trpc/server'
import { createHTTPHandler } from '@trpc/server/adapters/standalone'
import { ownerOf, Principal, VerbatimError } from '@verbatim/core'
import { allFrames, json, listen, query } from '@verbatim/test-kit/http'
import { EventSource } from 'eventsource'
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { PrincipalInput } from './context.ts'
import { createAppRouter } from './create-router.ts'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

const reauthenticateMs = 200

interface TeamContext {
  readonly authorization: string | undefined
}

const alice = ownerOf(Principal.parse({ userId: 'alice' }))

/** What each token is worth now, and how often it was checked. */
const answers = new Map<string, () => PrincipalInput>()
const checks = new Map<string, number>()

function authenticateToken(authorization: string | null | undefined): PrincipalInput {
  const token = /^Bearer (\S+)$/.exec(authorization ?? '')?.[1] ?? ''
  checks.set(token, (checks.get(token) ?? 0) + 1)
  return answers.get(token)?.()
}

let app: TestApi
beforeAll(async () => {
  app = await openTestApi({
    reauthenticateMs,
    reconnectMs: 40,
    authenticate: ({ headers }) => authenticateToken(headers.get('authorization')),
  })
})
afterAll(async () => await app[Symbol.asyncDispose]())
beforeEach(() => {
  answers.clear()
  checks.clear()
  answers.set('alice', () => ({ userId: 'alice' }))
})

/** A token of Alice's whose worth the test changes. */
function newToken(answer: () => PrincipalInput = () => ({ userId: 'alice' })): string {
  const token = crypto.randomUUID()
  answers.set(token, answer)
  return token
}

const isWord = ({ data }: { data?: string }) =>
  data?.includes('text_delta') === true || data?.includes('"token"') === true

/** Opens each kind of stream on a run that hangs after its first word. */
async function openStreams(user: string): Promise<Record<'trpc' | 'chat_sse' | 'chat_stream', Response>> {
  const runId = await app.startRun('word /hang')
  const chat = { sessionId: `s-${crypto.randomUUID()}`, message: 'word /hang' }
  return {
    trpc: await app.fetch(query('runs.follow', { runId }), { user }),
    chat_sse: await app.fetch(`/chat/sse/${runId}`, { user }),
    chat_stream: await app.fetch('/chat/stream', { ...json(chat), user }),
  }
}

async function streamsEnded(kind: string, end: string): Promise<number> {
  answers.set('ops', () => ({ userId: 'ops', scopes: ['verbatim:metrics'] }))
  const text = await (await app.fetch('/metrics', { user: 'ops' })).text()
  const line = text
    .split('\n')
    .find((one) => one.startsWith(`verbatim_streams_ended_total{kind="${kind}",end="${end}"}`))
  return Number(line?.split(' ').at(-1) ?? 0)
}

describe('a revoked token', () => {
  it('ends every kind of stream with UNAUTHENTICATED after its frames, and the caller is checked before each new call', async () => {
    const token = newToken()
    const { trpc, chat_sse, chat_stream } = await openStreams(token)
    answers.set(token, () => null)
    const trpcFrames = await allFrames(trpc)
    expect(trpcFrames.some(isWord)).toBe(true)
    expect(trpcFrames.at(-1)?.event).toBe('serialized-error')
    expect(JSON.parse(trpcFrames.at(-1)?.data ?? '')).toMatchObject({ data: { verbatim: { code: 'UNAUTHENTICATED' } } })
    const sseFrames = await allFrames(chat_sse)
    expect(sseFrames.some(isWord)).toBe(true)
    expect(JSON.parse(sseFrames.at(-1)?.data ?? '')).toMatchObject({ type: 'error', code: 'UNAUTHENTICATED' })
    await expect(chat_stream.text()).rejects.toThrow(TypeError) // plain text has no room for an error, so the connection is cut
    for (const kind of ['trpc', 'chat_sse', 'chat_stream']) expect(await streamsEnded(kind, 'refused')).toBe(1)
    expect((await app.fetch(query('sessions.list', {}), { user: token })).status).toBe(401)
    await expect.poll(() => app.engine.stats().followers).toBe(0)
  })

  it('that names another owner now ends its stream in the same way', async () => {
    const token = newToken()
    const { trpc, chat_sse } = await openStreams(token)
    answers.set(token, () => ({ userId: 'alice', tenantId: 'elsewhere' }))
    for (const response of [trpc, chat_sse]) {
      expect((await allFrames(response)).at(-1)?.data).toContain('UNAUTHENTICATED')
    }
  })

  it('ends a plain text stream that still waits for its first text with 401', async () => {
    const token = newToken()
    const sessionId = `s-${crypto.randomUUID()}`
    await expect.poll(() => app.engine.stats().followers).toBe(0)
    await app.startRun('/hang', sessionId)
    const queued = app.fetch('/chat/stream', {
      ...json({ sessionId, message: 'later', whenBusy: 'queue' }),
      user: token,
    })
    await expect.poll(() => app.engine.stats().followers).toBe(1)
    answers.set(token, () => null)
    const outcome = await readOutcome(await queued)
    expect([outcome.status, outcome.code]).toEqual([401, 'UNAUTHENTICATED'])
    await expect.poll(() => app.engine.stats().followers).toBe(0)
  })
})

describe('an expiry', () => {
  it('ends every kind of stream early, so that its client comes back, whatever the re-check would say', async () => {
    await using patient = await openTestApi({
      reauthenticateMs: 2_000, // a quarter of it is the pace of the timer
      authenticate: ({ headers }) => authenticateToken(headers.get('authorization')),
    })
    const expiresAt = new Date(new Date().getTime() + 1_200)
    const token = newToken(() => ({ userId: 'alice', expiresAt }))
    const runId = await patient.startRun('word /hang')
    const opened = performance.now()
    const responses = [
      await patient.fetch(query('runs.follow', { runId }), { user: token }),
      await patient.fetch(`/chat/sse/${runId}`, { user: token }),
    ]
    const chat = { sessionId: `s-${crypto.randomUUID()}`, message: 'word /hang' }
    const plain = await patient.fetch('/chat/stream', { ...json(chat), user: token })
    for (const response of responses) {
      const frames = await allFrames(response)
      expect(frames.some(isWord)).toBe(true)
      expect(frames.at(-1)?.retry).toBeDefined()
    }
    await expect(plain.text()).rejects.toThrow(TypeError)
    expect(performance.now() - opened).toBeGreaterThan(1_000)
    const refused = await patient.fetch(query('sessions.list', {}), { user: token })
    expect((await readOutcome(refused)).code).toBe('UNAUTHENTICATED')
  })

  it('in seconds instead of milliseconds is a fault of the server, not a caller without credentials', async () => {
    const seconds = Math.floor(new Date().getTime() / 1000) + 3_600
    const wrong: PrincipalInput[] = [
      { userId: 'alice', expiresAt: seconds },
      { userId: 'alice', expiresAt: new Date(Number.NaN) },
      { userId: 'alice', expiresAt: Number.NaN },
    ]
    for (const answer of wrong) {
      const response = await app.fetch(query('sessions.list', {}), { user: newToken(() => answer) })
      expect((await readOutcome(response)).code).toBe('INTERNAL')
    }
  })
})

describe('the re-check', () => {
  it('asks about every open stream at its interval, and leaves the streams of accepted callers alone', async () => {
    const token = newToken()
    const runId = await app.startRun('word /wait end')
    const since = performance.now()
    const responses = await Promise.all(
      Array.from({ length: 50 }, async () => await app.fetch(query('runs.follow', { runId }), { user: token })),
    )
    const read = Promise.all(responses.map(async (response) => await allFrames(response)))
    await expect.poll(() => checks.get(token)).toBeGreaterThanOrEqual(200) // each of them was asked about three times
    const intervals = (performance.now() - since) / reauthenticateMs
    expect(checks.get(token)).toBeLessThanOrEqual(50 * (1 + intervals + 0.5)) // its opening, and the early first check
    app.agent.release()
    for (const frames of await read) {
      expect(frames.at(-1)).toEqual({ event: 'return', data: '' })
      expect(frames.filter(isWord)).toHaveLength(2)
    }
    const after = checks.get(token)
    await new Promise((resolve) => setTimeout(resolve, reauthenticateMs * 2))
    expect(checks.get(token)).toBe(after) // nothing is asked about a stream that has ended
  })

  it('keeps a stream while authenticate cannot decide, for five intervals, and then sends its client back', async () => {
    const token = newToken()
    const { trpc } = await openStreams(token)
    answers.set(token, () => {
      throw new VerbatimError('UNAVAILABLE')
    })
    const since = performance.now()
    const frames = await allFrames(trpc)
    expect(performance.now() - since).toBeGreaterThan(reauthenticateMs * 4)
    expect(frames.at(-1)?.retry).toBeDefined()
    expect(app.logged).toContainEqual(expect.objectContaining({ reason: 'UNAVAILABLE' }))
  })
})

describe("under a team's own tRPC root", () => {
  function teamRouter() {
    const t = initTRPC.context<TeamContext>().create()
    const principalOf = ({ authorization }: TeamContext) => authenticateToken(authorization)
    return t.router({ verbatim: createAppRouter({ engine: app.engine, reauthenticateMs, principalOf }) })
  }

  async function serveTeam() {
    return await listen(
      createHTTPHandler({
        router: teamRouter(),
        basePath: '/trpc/',
        createContext: ({ req }) => ({ authorization: req.headers.authorization }),
      }),
    )
  }

  it('principalOf is asked again for open follows, and a refusal ends them with UNAUTHENTICATED', async () => {
    await using team = await serveTeam()
    const token = newToken()
    const runId = await app.startRun('word /hang')
    const headers = { authorization: `Bearer ${token}` }
    const response = await fetch(team.url + query('verbatim.runs.follow', { runId }), { headers })
    await expect.poll(() => checks.get(token)).toBeGreaterThan(3)
    answers.set(token, () => null)
    const frames = await allFrames(response)
    expect(frames.some(isWord)).toBe(true)
    expect(frames.at(-1)?.data).toContain('UNAUTHENTICATED')
    await expect.poll(() => app.engine.stats().followers).toBe(0)
  })

  it("an expiry makes tRPC's own client come back with fresh credentials, and it receives every batch once", async () => {
    await using team = await serveTeam()
    const runId = await app.startRun('one two /hang')
    const tokens: string[] = []
    const client = createTRPCClient<ReturnType<typeof teamRouter>>({
      links: [
        httpSubscriptionLink({
          url: `${team.url}/trpc`,
          EventSource,
          eventSourceOptions: {
            fetch: async (input, init) => {
              const expiresAt = new Date().getTime() + (tokens.length === 0 ? 300 : 60_000)
              tokens.push(newToken(() => ({ userId: 'alice', expiresAt })))
              return await fetch(input, {
                ...init,
                headers: { ...init.headers, authorization: `Bearer ${tokens.at(-1)}` },
              })
            },
          },
        }),
      ],
    })
    const ids: string[] = []
    const follow = client.verbatim.runs.follow.subscribe({ runId }, { onData: ({ id }) => void ids.push(id) })
    await expect.poll(() => tokens.length, { timeout: 10_000 }).toBe(2)
    await app.engine.runs.cancel(alice, runId)
    await expect.poll(() => ids.length).toBeGreaterThan(2)
    follow.unsubscribe()
    expect(new Set(ids).size).toBe(ids.length)
  })
})
