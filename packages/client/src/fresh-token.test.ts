/** Tokens that end while an answer streams: the client comes back with a fresh one and misses nothing (promise P2). */
import { setTimeout as delay } from 'node:timers/promises'
import type { ApiInput } from '@verbatim/api'
import { randomUuid, seqOf, textOf } from '@verbatim/core'
import { createGate, openTestEngine, scriptedAgent } from '@verbatim/core/testing'
import { afterAll, beforeAll, describe, expect, inject, it } from 'vitest'
import { collect, connect } from './testing/connect.ts'
import { serveEngine } from './testing/serve-engine.ts'

const lastWord = createGate()

/** Says the numbers up to the prompt's, each a batch of its own; `wait` holds the last one at the gate. */
const counter = scriptedAgent(async function* ({ messages }) {
  const prompt = textOf(messages.at(-1)?.content ?? [])
  const count = Number(prompt.split(' ')[0])
  for (let index = 1; index <= count; index++) {
    if (index === count && prompt.endsWith('wait')) yield lastWord
    yield `${index} `
    await delay(5)
  }
})
const numbers = (count: number) => Array.from({ length: count }, (_, index) => `${index + 1} `).join('')

let test: Awaited<ReturnType<typeof openTestEngine>>
beforeAll(async () => {
  test = await openTestEngine({ uri: inject('mongoUri'), agents: [counter] })
})
afterAll(async () => await test[Symbol.asyncDispose]())

interface TokenOptions extends Partial<ApiInput> {
  /** Whether `authenticate` names a token's expiry, or accepts each token a few times and then no more. */
  readonly naming: 'expiry' | 'nothing'
}

/** A server and its tokens; `token` makes a new one when it is asked for a fresh one. No delay of the machine ends a new token. */
async function serveTokens({ naming, ...options }: TokenOptions) {
  const tokens = new Map<string, { checks: number; expiresAt: number }>()
  let current: string | undefined
  const server = await serveEngine(test.engine, {
    ...options,
    authenticate({ headers }) {
      const now = new Date().getTime()
      const token = tokens.get(headers.get('authorization') ?? '')
      if (token === undefined) return null
      if (token.checks++ === 0) token.expiresAt = now + 250
      if (naming === 'nothing') return token.checks > 6 ? null : { userId: 'ada' }
      return token.expiresAt <= now ? null : { userId: 'ada', expiresAt: token.expiresAt }
    },
  })
  return {
    ...server,
    tokens,
    token({ refresh }: { refresh: boolean }): string {
      if (refresh || current === undefined) {
        current = randomUuid()
        tokens.set(`Bearer ${current}`, { checks: 0, expiresAt: 0 })
      }
      return current
    },
  }
}

describe('an answer that outlives its tokens', () => {
  it.for(['expiry', 'nothing'] as const)(
    'arrives whole and once over many tokens when authenticate names %s',
    async (naming) => {
      await using server = await serveTokens({ naming, reauthenticateMs: 40 })
      const run = connect(server, { token: server.token }).chat(`s-${randomUuid()}`).send('300')
      const cursors: string[] = []
      const readCursors = async () => {
        for await (const { cursor } of run.batches) cursors.push(cursor)
      }
      const [text] = await Promise.all([collect(run.text), readCursors()])
      expect(text.join('')).toBe(numbers(300))
      expect(await run.message).toMatchObject({ status: 'completed', content: [{ type: 'text', text: numbers(300) }] })
      const seqs = cursors.map((cursor) => seqOf(cursor, run.id))
      expect(seqs).toEqual([...new Set(seqs)].toSorted((one, other) => one - other))
      expect(server.tokens.size).toBeGreaterThan(3)
    },
  )

  it('arrives although no event comes for the life of several tokens', async () => {
    await using server = await serveTokens({ naming: 'nothing', reauthenticateMs: 50, heartbeatMs: 40 })
    const run = connect(server, { token: server.token }).chat(`s-${randomUuid()}`).send('3 wait')
    await expect.poll(() => server.tokens.size, { timeout: 15_000 }).toBeGreaterThan(4)
    lastWord.release()
    expect((await collect(run.text)).join('')).toBe(numbers(3))
  })
})

describe('a follow of sessions that outlives its tokens', () => {
  it.for(['expiry', 'nothing'] as const)(
    'a follow of sessions has each newest state over many tokens when authenticate names %s, and ends with the last one',
    async (naming) => {
      await using server = await serveTokens({ naming, reauthenticateMs: 40, heartbeatMs: 40 })
      const sessionId = `s-${randomUuid()}`
      let last = { messageCount: 0, revision: 0 }
      let isRevoked = false
      const token = ({ refresh }: { refresh: boolean }) => (isRevoked ? 'revoked' : server.token({ refresh }))
      const client = connect(server, { token })
      const follow = async () => {
        for await (const state of client.sessions.follow({ sessionIds: [sessionId], list: true })) {
          if (state.type !== 'session' || state.session === null) continue
          expect(state.session.revision).toBeGreaterThanOrEqual(last.revision)
          last = state.session
        }
      }
      const ended = follow().catch((error: unknown) => error)
      for (let turn = 1; server.tokens.size < 5 || turn < 3; turn++) {
        await client.chat(sessionId).send('3').message
        await expect.poll(() => last.messageCount, { timeout: 15_000 }).toBe(2 * turn)
      }
      isRevoked = true
      server.tokens.clear()
      expect(await ended).toMatchObject({ code: 'UNAUTHENTICATED' })
    },
  )
})

it('a caller whose fresh token is refused too receives UNAUTHENTICATED, and the run goes on without it', async () => {
  await using server = await serveTokens({ naming: 'expiry', reauthenticateMs: 40 })
  const requests: boolean[] = []
  const token = ({ refresh }: { refresh: boolean }) => {
    requests.push(refresh)
    return refresh ? 'revoked' : server.token({ refresh })
  }
  const run = connect(server, { token }).chat(`s-${randomUuid()}`).send('3 wait')
  await expect.poll(() => run.answer.lastSeq).toBeGreaterThan(3)
  server.tokens.clear()
  await expect(collect(run.text)).rejects.toMatchObject({ code: 'UNAUTHENTICATED' })
  expect(requests.filter((refresh) => refresh)).toHaveLength(1)
  expect(test.engine.stats().runsActive).toBe(1)
  lastWord.release()
  await expect.poll(() => test.engine.stats().runsActive).toBe(0)
})
