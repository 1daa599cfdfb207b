import { VerbatimError } from '@verbatim/core'
import type { BackoffOptions } from './backoff.ts'
import { toTransformer } from './transformer.ts'
import type { Transformer, TransformerOption } from './transformer.ts'

/** How calls and streams are tried again. */
export interface RetryOptions extends BackoffOptions {
  /** Failed attempts in a row, without any progress, after which a stream gives up. @default Infinity */
  readonly maxAttempts: number
  /**
   * Attempts of what may be repeated safely (`runs.start`, `runs.retry`, `runs.cancel`, `sessions.delete` and loading a handle's
   * `message`) before it fails. @default 8
   */
  readonly maxCallAttempts: number
}

/** What a token is asked for; `refresh` says that the last one was refused. */
export interface TokenRequest {
  readonly refresh: boolean
}

/** Gives the bearer token of each request; null for none. */
export type TokenSource = (request: TokenRequest) => string | null | undefined | Promise<string | null | undefined>

interface AuthorizeOptions {
  readonly token?: TokenSource | undefined
  readonly headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined
  readonly fetch: typeof globalThis.fetch
}

/** A fetch that carries the application's headers and a token made for this very request. */
type AuthorizedFetch = (url: string, init: RequestInit, token: TokenRequest) => Promise<Response>

/** What a connection is made of. */
export interface ConnectionOptions extends AuthorizeOptions {
  readonly url: string
  readonly rootUrl: string
  readonly hasOwnFetch: boolean
  readonly mountedAs: string | undefined
  readonly transformer: TransformerOption | undefined
  readonly retry: RetryOptions
  readonly idleTimeoutMs: number
}

/** The way to one server, shared by every call and stream of a client. */
export interface Connection {
  /** Where the procedures are, without a slash at the end. */
  readonly url: string
  /** Where the plain endpoints are, without a slash at the end. */
  readonly rootUrl: string
  /** The full name of one of our procedures on this server. */
  readonly pathOf: (procedure: string) => string
  /** How inputs and outputs are encoded on this server. */
  readonly transformer: Transformer
  readonly fetch: AuthorizedFetch
  /** The headers of a request that {@link Connection.fetch} does not make. */
  readonly authorize: (headers: HeadersInit, token: TokenRequest) => Promise<Headers>
  /** True when the application brings a fetch of its own, which then makes every request. */
  readonly hasOwnFetch: boolean
  readonly retry: RetryOptions
  /** Silence after which a stream's connection is taken for dead, in milliseconds. */
  readonly idleTimeoutMs: number
}

export function createConnection(options: ConnectionOptions): Connection {
  const { url, rootUrl, mountedAs, hasOwnFetch, retry, idleTimeoutMs } = options
  const transformer = toTransformer(options.transformer)
  const pathOf = (procedure: string) => (mountedAs === undefined ? procedure : `${mountedAs}.${procedure}`)
  const authorize: Connection['authorize'] = async (headers, token) => await authorized(options, headers, token)
  const fetch: AuthorizedFetch = async (to, init, token) =>
    await options.fetch(to, { ...init, headers: await authorize(init.headers ?? {}, token) })
  return { url, rootUrl, pathOf, transformer, retry, idleTimeoutMs, fetch, authorize, hasOwnFetch }
}

async function authorized(options: AuthorizeOptions, own: HeadersInit, request: TokenRequest): Promise<Headers> {
  const headers = new Headers(typeof options.headers === 'function' ? await options.headers() : options.headers)
  new Headers(own).forEach((value, name) => headers.set(name, value))
  const token = await tokenOf(options.token, request)
  if (token) headers.set('authorization', `Bearer ${token}`)
  return headers
}

/** The token service is most often away when the network is, so its failure passes like any other. */
async function tokenOf(source: TokenSource | undefined, request: TokenRequest): Promise<string | null | undefined> {
  try {
    return await source?.(request)
  } catch (cause) {
    throw new VerbatimError('UNAVAILABLE', 'The token option of createClient failed', { cause })
  }
}

/** Asks once more with a new token when the token was refused. */
export async function withFreshToken(ask: (refresh: boolean) => Promise<Response>): Promise<Response> {
  const response = await ask(false)
  if (response.status !== 401) return response
  await response.body?.cancel()
  return await ask(true)
}
