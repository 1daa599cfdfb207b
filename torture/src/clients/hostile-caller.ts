/**
 * A signed-in caller that sends what costs a server most, beside the clients of a plan: the worst bodies, floods, streams that it
 * does not read, and the ids of others. The verdict is on the other clients; of this one only that each refusal is a typed error,
 * and that it receives nothing of theirs.
 */
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { createApi } from '@verbatim/api'
import { StartRunInput, WireError } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { hostileCalls, plainCalls } from '@verbatim/test-kit/hostile'
import type { HostileCall } from '@verbatim/test-kit/hostile'
import { hostileToken } from '../hostile-token.ts'
import type { Random } from '../random.ts'
import type { Endpoint } from './raw-calls.ts'

export interface HostileOptions {
  /** Calls at once. */
  readonly callers: number
  /** Tried in turn. */
  readonly endpoints: readonly Endpoint[]
  readonly random: Random
  /** Ids of the plan's own sessions and runs, which are another's. */
  readonly sessionIds: readonly string[]
  readonly runIds: readonly string[]
  readonly signal: AbortSignal
}

interface Request {
  readonly name: string
  readonly path: string
  readonly method: 'GET' | 'POST'
  readonly body?: string
  /** Hangs up after this time, in milliseconds. */
  readonly hangUpAfterMs?: number
  /** It asks for what is another's, so it must not succeed. */
  readonly isForeign?: true
}

/** Attacks until `signal` aborts; resolves to what was wrong with the answers, each kind once. Never rejects. */
export async function attack(options: HostileOptions): Promise<readonly string[]> {
  const { callers, random, signal } = options
  const violations = new Map<string, string>()
  const caller = async (own: Random): Promise<void> => {
    while (!signal.aborted) {
      const request = makeRequest(own, options)
      const wrong = await send(request, own.pick(options.endpoints), signal)
      if (wrong !== undefined) violations.set(request.name.split(':')[0] ?? '', `${request.name}: ${wrong}`)
      // So that a server that is down is not asked without a pause.
      await sleep(1)
    }
  }
  await Promise.all(Array.from({ length: callers }, async (_, at) => await caller(random.fork(`caller-${at}`))))
  return [...violations.values()]
}

type Maker = (random: Random, options: HostileOptions) => Request

const makers: readonly Maker[] = [
  (random) => worstRequest(random),
  (random) => worstRequest(random),
  (random) => worstRequest(random),
  (random) =>
    mutation('runs.start', {
      runId: random.uuid(),
      sessionId: ownSession(random),
      message: 'Not a prompt that an agent knows',
      whenBusy: random.pick(['reject', 'queue', 'replace']),
    }),
  // Of another owner, and with an id of the plan: it must be another run.
  (random, { runIds }) =>
    mutation('runs.start', { runId: random.pick(runIds), sessionId: ownSession(random), message: 'Mine' }),
  (random) => mutation('messages.append', { sessionId: ownSession(random), role: 'user', content: 'A word' }),
  (random) => mutation('sessions.delete', { sessionId: ownSession(random) }),
  (random) => mutation('runs.cancel', { runId: random.uuid() }),
  (random) => mutation('runs.retry', { runId: random.uuid(), newRunId: random.uuid() }),
  (random) => ({ ...query('runs.follow', { runId: random.uuid() }), hangUpAfterMs: random.int(0, 300) }),
  (random, { sessionIds }) => ({ ...query('sessions.get', { sessionId: random.pick(sessionIds) }), isForeign: true }),
  (random, { sessionIds }) => ({ ...query('messages.list', { sessionId: random.pick(sessionIds) }), isForeign: true }),
  (random, { sessionIds }) => ({
    ...mutation('sessions.delete', { sessionId: random.pick(sessionIds) }),
    isForeign: true,
  }),
]

function makeRequest(random: Random, options: HostileOptions): Request {
  return random.pick(makers)(random, options)
}

/** A few, so that its calls meet in one session. */
function ownSession(random: Random): string {
  return `hostile-${random.int(0, 5)}`
}

function mutation(name: string, input: unknown): Request {
  return { name, path: `/trpc/${name}`, method: 'POST', body: JSON.stringify(input) }
}

function query(name: string, input: unknown): Request {
  return { name, path: `/trpc/${name}?input=${encodeURIComponent(JSON.stringify(input))}`, method: 'GET' }
}

/** Over every bound but that of the body, and small enough that the harness is not what is slow. */
const sizes = { maxBodyBytes: 128 * 1024 }
let worst: readonly HostileCall[] | undefined

function worstRequest(random: Random): Request {
  worst ??= worstCalls()
  const { name, make } = random.pick(worst)
  const { path, init } = make()
  const method = init.method === 'GET' ? 'GET' : 'POST'
  return { name, path, method, ...(typeof init.body === 'string' ? { body: init.body } : {}) }
}

function worstCalls(): readonly HostileCall[] {
  const { router } = createApi({ engine: {} as Engine, authenticate: () => null })
  const chatInput = StartRunInput.omit({ runId: true })
  return [
    ...hostileCalls(router, sizes),
    ...plainCalls('/chat/stream', chatInput, sizes),
    ...plainCalls('/chat/sse', chatInput, sizes),
  ]
}

const callTimeoutMs = 6_500

/** What is wrong with the answer; a connection that ends without one is a fault of the plan. */
async function send(request: Request, { port }: Endpoint, signal: AbortSignal): Promise<string | undefined> {
  const { path, method, body, hangUpAfterMs = callTimeoutMs, isForeign } = request
  const headers = { authorization: `Bearer ${hostileToken}`, 'content-type': 'application/json' }
  const over = AbortSignal.any([signal, AbortSignal.timeout(hangUpAfterMs)])
  const sent = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false, signal: over })
  sent.on('error', () => {}).end(body)
  try {
    const [response] = (await once(sent, 'response')) as [IncomingMessage]
    const answer = await text(response)
    const status = response.statusCode ?? 0
    if (status < 400) return isForeign === true ? `another's data: ${answer.slice(0, 200)}` : undefined
    const codes = codesOf(answer)
    const isTyped = codes.length > 0 && codes.every((code) => code !== undefined && code !== 'INTERNAL')
    return isTyped ? undefined : `no typed error: ${status} ${answer.slice(0, 200)}`
  } catch {
    return undefined
  } finally {
    sent.destroy()
  }
}

/** The codes of the errors of an answer in tRPC's shape, of a batch of it, or in the plain shape. */
function codesOf(answer: string): (string | undefined)[] {
  try {
    const parsed = JSON.parse(answer) as unknown // each form below is checked
    const errors = (Array.isArray(parsed) ? parsed : [parsed]) as { error?: { data?: { verbatim?: unknown } } }[]
    return errors
      .filter(({ error }) => error !== undefined)
      .map(({ error }) => WireError.safeParse(error?.data?.verbatim ?? error).data?.code)
  } catch {
    return []
  }
}
