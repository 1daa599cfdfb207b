/**
 * The typed tRPC client over a connection, and the only file that knows the router's type.
 * The build copies that type into our declarations: a consumer has no @verbatim/api to look it up in. Of tRPC only the types are used:
 * its client would be a quarter of what a page loads, and does nothing here that these lines do not do.
 */
import type { TRPCClient } from '@trpc/client'
import { childController, seqOf, toRunId, withCursors } from '@verbatim/core'
import type { AppRouter } from '@verbatim/api'
import type { EventBatch, VerbatimError } from '@verbatim/core'
import { withFreshToken } from './connection.ts'
import type { Connection } from './connection.ts'
import { followRun } from './follow-run.ts'
import { errorOfAnswer, fieldOf, parseJson, toVerbatimError } from './to-error.ts'

/**
 * The raw, typed tRPC client: `verbatim.trpc.<router>.<procedure>.query(…)`. Its errors have the shape of tRPC's `TRPCClientError`
 * (`data`, `shape`), with ours as `cause`. Calls are never batched and never repeated; `runs.follow.subscribe` comes back after a lost
 * connection.
 */
export type VerbatimTrpcClient = TRPCClient<AppRouter>

/** @param closed ends every subscription when the client closes */
export function createTrpcClient(connection: Connection, closed: AbortSignal): VerbatimTrpcClient {
  const callers: Callers = {
    query: async (path, input, init) => await call(connection, { path, input, init, isQuery: true }),
    mutation: async (path, input, init) => await call(connection, { path, input, init, isQuery: false }),
    // `runs.follow` only: `sessions.follow` of the client has the rest.
    subscription: (_path, input, init = {}) => subscribe(connection, input, { closed, init }),
  }
  return pathTo(callers) as VerbatimTrpcClient // what it does at run time is what the type says of the router
}

interface CallInit {
  readonly signal?: AbortSignal | undefined
}

type SubscribeInit = CallInit & {
  readonly onData?: (item: TrackedBatch) => void
  readonly onError?: (error: unknown) => void
  readonly onStopped?: () => void
  readonly onComplete?: () => void
}

type Caller = (path: string, input?: unknown, init?: SubscribeInit) => unknown

/** The calls by their paths as text, which TanStack Query's binding uses. */
interface Callers {
  readonly query: Caller
  readonly mutation: Caller
  readonly subscription: Caller
}

const callersKey = Symbol.for('trpc_untypedClient')

/** The last word of a path, in the words of {@link Callers}. */
const kinds = { query: 'query', mutate: 'mutation', subscribe: 'subscription' } as const

function pathTo(callers: Callers, path: readonly string[] = []): unknown {
  return new Proxy(() => {}, {
    get(_target, key) {
      if (key === callersKey) return callers
      // A promise that resolves with a client must not take it for a promise.
      return typeof key === 'string' && key !== 'then' ? pathTo(callers, [...path, key]) : undefined
    },
    apply(_target, _this, [input, init]: [unknown, SubscribeInit?]) {
      const kind = kinds[path.at(-1) as keyof typeof kinds] // the router's type has no other; a word that is none is a TypeError
      return callers[kind](path.slice(0, -1).join('.'), input, init)
    },
  })
}

/** An error as tRPC's client has it: what reads `error.data` of other servers reads it of this one. */
class CallError extends Error {
  override readonly name = 'TRPCClientError'
  readonly shape: unknown
  readonly data: unknown

  constructor(cause: VerbatimError, shape?: unknown) {
    super(cause.message, { cause })
    this.shape = shape
    this.data = fieldOf(shape, 'data')
  }
}

interface CallRequest {
  readonly path: string
  readonly input: unknown
  readonly init: CallInit | undefined
  readonly isQuery: boolean
}

/** One call by tRPC's protocol, once more with a new token when the token was refused. */
async function call(connection: Connection, request: CallRequest): Promise<unknown> {
  const { encode, decode } = connection.transformer
  const body = JSON.stringify(encode(request.input)) as string | undefined // of `undefined` there is no JSON
  const query = request.isQuery && body !== undefined ? `?input=${encodeURIComponent(body)}` : ''
  const url = `${connection.url}/${connection.pathOf(request.path)}${query}`
  const signal = request.init?.signal ?? null
  const init: RequestInit = request.isQuery
    ? { signal }
    : { signal, method: 'POST', headers: { 'content-type': 'application/json' }, body: body ?? null }
  const { response, text } = await withFreshToken(async (refresh) => await connection.fetch(url, init, { refresh }))
    .then(async (answer) => ({ response: answer, text: await answer.text() }))
    .catch((error: unknown) => {
      signal?.throwIfAborted()
      throw new CallError(toVerbatimError(error))
    })
  const isJson = response.headers.get('content-type')?.includes('json') === true
  const answer = isJson ? parseJson(text) : undefined
  const result = fieldOf(answer, 'result')
  if (response.ok && result !== undefined) return decode(fieldOf(result, 'data'))
  const error = fieldOf(answer, 'error')
  const shape = [error, decode(error)].find((one) => typeof fieldOf(one, 'code') === 'number')
  throw new CallError(errorOfAnswer(response, text, connection.transformer), shape)
}

interface TrackedBatch {
  /** The cursor of the batch. */
  readonly id: string
  readonly data: EventBatch
}

/** With callbacks, what stops them; without, the batches. Both end quietly when the signal aborts or the client closes. */
function subscribe(
  connection: Connection,
  input: unknown,
  { closed, init }: { closed: AbortSignal; init: SubscribeInit },
): AsyncIterable<TrackedBatch> | { unsubscribe: () => void } {
  const own = new AbortController()
  const batches = followTracked(connection, input, [closed, init.signal, own.signal])
  if (!Object.keys(init).some((option) => option.startsWith('on'))) return batches
  const pass = async () => {
    for await (const batch of batches) init.onData?.(batch)
    if (![closed, init.signal, own.signal].some((signal) => signal?.aborted)) init.onStopped?.()
    init.onComplete?.()
  }
  void pass().catch((error: unknown) => init.onError?.(error))
  return { unsubscribe: () => own.abort() }
}

async function* followTracked(
  connection: Connection,
  input: unknown,
  ends: readonly (AbortSignal | undefined)[],
): AsyncGenerator<TrackedBatch, void, void> {
  const { controller, release } = childController(...ends)
  const { signal } = controller
  try {
    const { runId, lastEventId } = input as { runId: string; lastEventId?: string | null } // the router's type made sure of it
    const id = toRunId(runId)
    const batches = withCursors(id, followRun(connection, { runId: id, after: seqOf(lastEventId, id), signal }))
    for await (const { cursor, firstSeq, events } of batches) yield { id: cursor, data: { firstSeq, events } }
  } catch (error) {
    if (!signal.aborted) throw new CallError(toVerbatimError(error))
  } finally {
    release()
  }
}
