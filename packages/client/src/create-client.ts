import { VerbatimError } from '@verbatim/core'
import { createChat, followExisting, retryExisting } from './chat.ts'
import type { Chat, FollowOptions, RetryRunOptions } from './chat.ts'
import type { RunContext } from './open-run.ts'
import { createCalls } from './resources.ts'
import type { Messages, RunCalls, Sessions } from './resources.ts'
import type { RunHandle } from './run.ts'
import { createConnection } from './transport/connection.ts'
import type { RetryOptions } from './transport/connection.ts'
import type { TokenSource } from './transport/token.ts'
import { createTrpcClient } from './transport/trpc-client.ts'
import type { VerbatimTrpcClient } from './transport/trpc-client.ts'
import { childController, closedError } from './transport/wait.ts'

/** Options of {@link createClient}. */
export interface ClientOptions {
  /** Where the server is, such as `http://127.0.0.1:8787`; in a browser also `''` for the page's own origin. */
  readonly url: string | URL
  /** Where the server mounts its procedures under `url`; not added when `url` ends with it. @default '/trpc' */
  readonly trpcPath?: string | undefined
  /** The key under which the server's own tRPC app mounts our router, if it does. */
  readonly mountedAs?: string | undefined
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
   * What a run's handle may hold for readers that are behind, in characters of events as they came. One that falls further
   * behind reads on from the server, and while nobody is waiting the connection is not read past it. @default 4 Mi
   */
  readonly maxBufferedChars?: number | undefined
}

/** Runs: the calls, and joining one. */
export interface Runs extends RunCalls {
  /**
   * Follows a run from its beginning or from a cursor, whoever started it.
   *
   * @throws VerbatimError `INVALID_INPUT` or `INVALID_CURSOR` at once; whatever the server says comes through the handle
   */
  follow(runId: string, options?: FollowOptions): RunHandle
  /**
   * Starts another run for the prompt of one that failed, was cancelled or interrupted, and returns its handle at once. The
   * prompt is not stored again. What the server refuses (`RUN_NOT_RETRYABLE`, `SESSION_BUSY`) comes through the handle.
   *
   * @throws VerbatimError `INVALID_INPUT` at once, when an id is not a UUID
   */
  retry(runId: string, options?: RetryRunOptions): RunHandle
}

/** A client of one Verbatim server. */
export interface VerbatimClient extends AsyncDisposable {
  /** A session to talk in; it is made by the first prompt. No request is sent by this. */
  chat(sessionId: string): Chat
  readonly runs: Runs
  readonly sessions: Sessions
  readonly messages: Messages
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
 * @throws VerbatimError `INVALID_CONFIGURATION`
 */
export function createClient(options: ClientOptions): VerbatimClient {
  const { idleTimeoutMs = 25_000, maxBufferedChars = 4 * 1024 * 1024, token, headers } = options
  if (!(idleTimeoutMs > 0)) {
    throw new VerbatimError('INVALID_CONFIGURATION', 'idleTimeoutMs must be over 0', {
      data: { field: 'idleTimeoutMs' },
    })
  }
  const connection = createConnection({
    url: baseUrl(options),
    mountedAs: options.mountedAs,
    token,
    headers,
    // Not the bare reference: a browser's fetch must be called on its window, and tests replace the global one.
    fetch: options.fetch ?? (async (input, init) => await globalThis.fetch(input, init)),
    retry: { ...defaultRetry, ...options.retry },
    idleTimeoutMs,
  })
  const { controller, release } = childController(options.signal)
  const trpc = createTrpcClient(connection, controller.signal)
  const calls = createCalls(trpc, connection, controller.signal)
  const context: RunContext = { calls, connection, closed: controller.signal, maxBufferedChars }
  const close = () => {
    release()
    controller.abort(closedError('The client'))
  }
  return {
    chat: (sessionId) => createChat(context, sessionId),
    runs: {
      ...calls.runs,
      follow: (runId, followOptions) => followExisting(context, runId, followOptions),
      retry: (runId, retryOptions) => retryExisting(context, runId, retryOptions),
    },
    sessions: calls.sessions,
    messages: calls.messages,
    trpc,
    close,
    async [Symbol.asyncDispose]() {
      close()
    },
  }
}

function baseUrl({ url, trpcPath = '/trpc' }: ClientOptions): string {
  const base = String(url).replace(/\/+$/, '')
  const path = `/${trpcPath.replace(/^\/+|\/+$/g, '')}`
  return base.endsWith(path) ? base : base + path
}
