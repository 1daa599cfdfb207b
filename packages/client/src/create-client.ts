import { childController, closedError, followRunHandle, startRunHandle, toRunId, VerbatimError } from '@verbatim/core'
import type {
  AgentMap,
  AnyAgents,
  AnyOutput,
  DefaultAgentId,
  FollowRunOptions,
  HandleOptions,
  PromptInput,
  RunHandle,
  RunSource,
  RunStart,
  SendArguments,
  SendOptions,
  SomeData,
} from '@verbatim/core'
import { createCalls } from './resources.ts'
import type { Attachments, Audit, Calls, Messages, Principals, RunCalls, Sessions } from './resources.ts'
import { createConnection } from './transport/connection.ts'
import type { Connection, RetryOptions, TokenSource } from './transport/connection.ts'
import { followRun } from './transport/follow-run.ts'
import { retryCall } from './transport/reconnect.ts'
import { StreamHub } from './transport/stream-hub.ts'
import type { Hub, StreamSharing } from './transport/stream-hub.ts'
import type { TransformerOption } from './transport/transformer.ts'
import { createTrpcClient } from './transport/trpc-client.ts'
import type { VerbatimTrpcClient } from './transport/trpc-client.ts'

/** Options of {@link createClient}. */
export interface ClientOptions {
  /** Where the server is, such as `http://127.0.0.1:8787`; in a browser also `''` for the page's own origin. */
  readonly url: string | URL
  /** Where the server mounts its procedures under `url`; not added when `url` ends with it. @default '/trpc' */
  readonly trpcPath?: string | undefined
  /** The key under which the server's own tRPC app mounts our router, if it does. */
  readonly mountedAs?: string | undefined
  /** The transformer of that app, such as superjson. @default none */
  readonly transformer?: TransformerOption | undefined
  /**
   * Gives the bearer token, anew for every request and every reconnect. `refresh` is true when the last one was refused (401),
   * which is tried again once.
   */
  readonly token?: TokenSource | undefined
  /** Sent with every request. */
  readonly headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined
  /** A fetch that streams its answers' bodies. @default the global one */
  readonly fetch?: typeof globalThis.fetch | undefined
  /** Closes the client when it aborts. */
  readonly signal?: AbortSignal | undefined
  readonly retry?: Partial<RetryOptions> | undefined
  /** Silence after which a stream's connection is taken for dead, in milliseconds; the server's heartbeat is 10 s. @default 25_000 */
  readonly idleTimeoutMs?: number | undefined
  /**
   * What a run's handle may hold for slow readers, in characters of events. A reader slower than that reads on from the server,
   * and while no reader waits the client does not read the connection past it. @default 4 Mi
   */
  readonly maxBufferedChars?: number | undefined
  /**
   * How the tabs of a browser share one connection for all that they follow: `shareStreams` of `@verbatim/client/share`.
   *
   * @default each client, and so each tab, has its own: only the application knows which tabs have the same user
   */
  readonly streams?: StreamSharing | undefined
}

/** Options of `runs.retry` and `runs.continue`. */
export interface RetryRunOptions extends HandleOptions {
  /** The new run's id, a UUID: the idempotency key of the call. @default a random one */
  readonly newRunId?: string | undefined
}

/** One session, to talk in. */
export interface Chat<TAgents extends AgentMap = AnyAgents> {
  readonly sessionId: string
  /**
   * Sends a prompt, text or blocks, and returns the handle of its answer at once. The start is repeated with backoff while the server cannot
   * be reached, which is safe: the run's id makes it the same run. A refused start (`SESSION_BUSY`, `RUN_ID_REUSED`,
   * `INVALID_INPUT`, …) is what the handle's iterators throw and its promises reject with.
   *
   * @throws VerbatimError `INVALID_INPUT` at once, when `runId` is not a UUID
   */
  send<TId extends keyof TAgents & string = DefaultAgentId<TAgents>>(
    prompt: PromptInput,
    ...options: SendArguments<TAgents, TId>
  ): RunHandle<TAgents[TId]['output'], TAgents[TId]['data']>
}

/** Runs: the calls, and following one. */
export interface Runs<TAgents extends AgentMap = AnyAgents> extends RunCalls {
  /**
   * Follows a run from its beginning or from a cursor; any client may have started it.
   *
   * @throws VerbatimError `INVALID_INPUT` or `INVALID_CURSOR` at once; whatever the server says comes through the handle
   */
  follow(runId: string, options?: FollowRunOptions): RunHandle<AnyOutput<TAgents>, SomeData<TAgents>>
  /**
   * Starts another run for the prompt of one that failed, was cancelled or interrupted, and returns its handle at once. The
   * prompt is not stored again. What the server refuses (`RUN_NOT_RETRYABLE`, `SESSION_BUSY`) comes through the handle.
   *
   * @throws VerbatimError `INVALID_INPUT` at once, when an id is not a UUID
   */
  retry(runId: string, options?: RetryRunOptions): RunHandle<AnyOutput<TAgents>, SomeData<TAgents>>
  /**
   * Starts a run that goes on from an answer that reached its greatest length (stop reason `max_tokens`), and returns its handle at once.
   * The handle's text and message are the rest alone. What the server refuses comes through the handle, as for `retry`.
   *
   * @throws VerbatimError `INVALID_INPUT` at once, when an id is not a UUID
   */
  continue(runId: string, options?: RetryRunOptions): RunHandle<AnyOutput<TAgents>, SomeData<TAgents>>
}

/** A client of one Verbatim server. `TAgents` are the server's agents, see {@link createClient}; without it any id, and JSON. */
export interface VerbatimClient<TAgents extends AgentMap = AnyAgents> extends AsyncDisposable {
  /** A session to talk in; it is made by the first prompt. No request is sent by this. */
  chat(sessionId: string): Chat<TAgents>
  readonly runs: Runs<TAgents>
  readonly sessions: Sessions
  readonly messages: Messages<TAgents>
  readonly attachments: Attachments
  readonly principals: Principals
  readonly audit: Audit
  /** The raw typed tRPC client, for what the rest does not offer. */
  readonly trpc: VerbatimTrpcClient
  /** Gives up all calls and stops all follows; runs go on. */
  close(): void
}

const defaultRetry: RetryOptions = {
  baseDelayMs: 250,
  maxDelayMs: 15_000,
  maxAttempts: Number.POSITIVE_INFINITY,
  maxCallAttempts: 8,
}

/**
 * Makes a client. It runs in Node 20 and later and in browsers; making one sends nothing.
 *
 * @example
 * const verbatim = createClient({ url: 'http://127.0.0.1:8787' })
 * const run = verbatim.chat('session-1').send('Explain async iteration')
 * for await (const text of run.text) process.stdout.write(text)
 * const message = await run.message
 *
 * With the type of the server's agents the compiler checks their ids, what they take and what they answer:
 * @example
 * import type { agents } from '../server/agents.ts'
 * const verbatim = createClient<AgentsOf<typeof agents>>({ url })
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`
 */
export function createClient<TAgents extends AgentMap = AnyAgents>(options: ClientOptions): VerbatimClient<TAgents> {
  // The type argument says what the server has: nothing here depends on it.
  return createAnyClient(options) as object as VerbatimClient<TAgents>
}

/** A client as it is at run time. */
interface AnyClient extends Omit<VerbatimClient, 'chat'> {
  chat(sessionId: string): { sessionId: string; send(prompt: PromptInput, options?: SendOptions): RunHandle }
}

function createAnyClient(options: ClientOptions): AnyClient {
  const { maxBufferedChars = 4 * 1024 * 1024 } = options
  const connection = connect(options)
  const { controller, release } = childController(options.signal)
  const close = () => {
    release()
    controller.abort(closedError('The client'))
  }
  const trpc = createTrpcClient(connection, controller.signal)
  const streams = openStreams(connection, options.streams, controller.signal)
  const { sessions, messages, runs, attachments, principals, audit } = createCalls(
    trpc,
    { ...connection, hub: streams.hub },
    controller.signal,
  )
  const source = createSource({
    runs,
    messages,
    connection,
    follow: streams.follow,
    closed: controller.signal,
    maxBufferedChars,
  })
  const { retry } = connection
  return {
    chat: (sessionId) => chatOf(sessionId, { source, trpc, retry }),
    runs: {
      ...runs,
      follow: (runId, followOptions) => followRunHandle(source, runId, followOptions),
      retry: repeat('retry', { source, trpc, retry }),
      continue: repeat('continue', { source, trpc, retry }),
    },
    sessions,
    messages,
    attachments,
    principals,
    audit,
    trpc,
    close,
    async [Symbol.asyncDispose]() {
      close()
    },
  }
}

/** What a session's handle works with. */
interface ChatParts {
  readonly source: RunSource
  readonly trpc: VerbatimTrpcClient
  readonly retry: RetryOptions
}

/** A call that starts a run for the answer of another one. */
function repeat(verb: 'retry' | 'continue', { source, trpc, retry }: ChatParts): AnyClient['runs']['retry'] {
  return (before, { newRunId, ...handleOptions } = {}) => {
    const runId = toRunId(before)
    const start: RunStart = async (id, init) =>
      await retryCall(async () => await trpc.runs[verb].mutate({ runId, newRunId: id }, init), { retry, ...init })
    return startRunHandle(source, start, { ...handleOptions, runId: newRunId })
  }
}

function chatOf(sessionId: string, { source, trpc, retry }: ChatParts): ReturnType<AnyClient['chat']> {
  return {
    sessionId,
    send(prompt, { agentId, whenBusy, input: given, ...handleOptions } = {}) {
      const input = { sessionId, message: prompt, agentId, whenBusy, input: given }
      const start: RunStart = async (runId, init) =>
        await retryCall(async () => await trpc.runs.start.mutate({ ...input, runId }, init), { retry, ...init })
      return startRunHandle(source, start, handleOptions)
    },
  }
}

function connect(options: ClientOptions): Connection {
  const { mountedAs, transformer, token, headers, idleTimeoutMs = 25_000 } = options
  if (!(idleTimeoutMs > 0)) {
    throw new VerbatimError('INVALID_CONFIGURATION', 'idleTimeoutMs must be over 0', {
      data: { field: 'idleTimeoutMs' },
    })
  }
  // Not the bare reference: a browser's fetch must be called on its window, and tests replace the global one.
  const fetch = options.fetch ?? (async (input, init) => await globalThis.fetch(input, init))
  const retry = { ...defaultRetry, ...options.retry }
  const hasOwnFetch = options.fetch !== undefined
  return createConnection({
    ...urlsOf(options),
    hasOwnFetch,
    mountedAs,
    transformer,
    token,
    headers,
    fetch,
    retry,
    idleTimeoutMs,
  })
}

/** What the client follows goes over one connection of its own for sessions, and one for each run; or over those that tabs share. */
function openStreams(
  connection: Connection,
  sharing: StreamSharing | undefined,
  closed: AbortSignal,
): Pick<RunSource, 'follow'> & { hub: () => Hub } {
  let own: Hub | undefined
  const openOwn = () => new StreamHub(connection, { isForTabs: sharing !== undefined })
  const hub = () => (own ??= sharing === undefined ? openOwn() : sharing.open(openOwn, connection.url))
  closed.addEventListener('abort', () => own?.close(), { once: true })
  return {
    hub,
    follow(runId, options) {
      return sharing === undefined
        ? followRun(connection, { runId, ...options })
        : sharing.followRun(hub(), { runId, ...options })
    },
  }
}

type SourceParts = Pick<Calls, 'runs' | 'messages'> &
  Pick<RunSource, 'closed' | 'follow' | 'maxBufferedChars'> & { readonly connection: Connection }

/** What the handles read from: every call of it may be repeated safely, so it is. */
function createSource({ runs, messages, connection, follow, closed, maxBufferedChars }: SourceParts): RunSource {
  const { retry } = connection
  return {
    closed,
    maxBufferedChars,
    follow,
    getRun: async (runId, { signal } = { signal: closed }) =>
      await retryCall(async () => await runs.get(runId, { signal }), { retry, signal }),
    getMessage: async (sessionId, messageId) =>
      await retryCall(async () => await messages.get(sessionId, messageId), { retry, signal: closed }),
    cancelRun: async (runId) => await runs.cancel(runId),
  }
}

function urlsOf({ url, trpcPath = '/trpc' }: ClientOptions): { url: string; rootUrl: string } {
  const base = String(url).replace(/\/+$/, '')
  const path = `/${trpcPath.replace(/^\/+|\/+$/g, '')}`
  const rootUrl = base.endsWith(path) ? base.slice(0, -path.length) : base
  return { url: rootUrl + path, rootUrl }
}
