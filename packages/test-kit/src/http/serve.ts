import type { RequestListener } from 'node:http'
import { listen } from './listen.ts'
import type { ListeningServer } from './listen.ts'

/** An API on a real socket. Bearer tokens are user names. */
export interface Site extends ListeningServer {
  /** A call as `user`, or without credentials when null. */
  fetch(path: string, init?: RequestInit & { user?: string | null }): Promise<Response>
}

/** Serves what `createApi` made; disposing of it closes the API first. @param callers who calls unless a call says otherwise */
export async function serve(
  api: { readonly nodeHandler: RequestListener; close(): Promise<void> },
  callers: { readonly user: string } = { user: 'ada' },
): Promise<Site> {
  const server = await listen(api.nodeHandler)
  return {
    ...server,
    async fetch(path, { user = callers.user, ...init } = {}) {
      const headers = new Headers(init.headers)
      if (user !== null) headers.set('authorization', `Bearer ${user}`)
      return await fetch(server.url + path, { ...init, headers })
    },
    async [Symbol.asyncDispose]() {
      await api.close()
      await server[Symbol.asyncDispose]()
    },
  }
}

/** A POST with a JSON body. */
export function json(body: unknown, headers: Record<string, string> = {}) {
  return { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
}

/** The path of a tRPC query, and of a follow. */
export function query(path: string, input: unknown): string {
  return `/trpc/${path}?input=${encodeURIComponent(JSON.stringify(input))}`
}
