import { VerbatimError } from '@verbatim/core'

/** What a token is asked for; `refresh` says that the last one was refused. */
export interface TokenRequest {
  readonly refresh: boolean
}

/** Gives the bearer token of each request; null for none. */
export type TokenSource = (request: TokenRequest) => string | null | undefined | Promise<string | null | undefined>

export interface AuthorizeOptions {
  readonly token?: TokenSource | undefined
  readonly headers?: HeadersInit | (() => HeadersInit | Promise<HeadersInit>) | undefined
  readonly fetch: typeof globalThis.fetch
}

/** A fetch that carries the application's headers and a token made for this very request. */
export type AuthorizedFetch = (url: string, init: RequestInit, token: TokenRequest) => Promise<Response>

export function authorizedFetch(options: AuthorizeOptions): AuthorizedFetch {
  return async (url, init, request) => {
    const headers = new Headers(typeof options.headers === 'function' ? await options.headers() : options.headers)
    new Headers(init.headers).forEach((value, name) => headers.set(name, value))
    const token = await tokenOf(options.token, request)
    if (token) headers.set('authorization', `Bearer ${token}`)
    return await options.fetch(url, { ...init, headers })
  }
}

/** The token service is most often away when the network is, so its failure passes like any other. */
async function tokenOf(source: TokenSource | undefined, request: TokenRequest): Promise<string | null | undefined> {
  try {
    return await source?.(request)
  } catch (cause) {
    throw new VerbatimError('UNAVAILABLE', 'The token option of createClient failed', { cause })
  }
}
