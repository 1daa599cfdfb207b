/**
 * Who uses the page. In: a token, or none. Out: the client that carries it. Another user has another client, so that nothing of
 * the last one's is shown; a token that the server refuses is given up, and the page asks for another.
 */
import { createClient } from '@verbatim/client'
import { shareStreams } from '@verbatim/client/share'
import type { VerbatimClient } from '@verbatim/client'
import { forgetDrafts } from '../chat/draft.ts'
import { forgetToken, keepToken, keptToken, onForgotten } from './kept-token.ts'

interface AccessState {
  readonly client: VerbatimClient
  readonly isSignedIn: boolean
  /** True after the server has refused a token that it accepted before. */
  readonly wasRefused: boolean
}

export interface Access {
  readonly getSnapshot: () => AccessState
  readonly subscribe: (listener: () => void) => () => void
  /** Takes a token that the server accepts. */
  readonly signIn: (token: string, options: { isLasting: boolean }) => void
  readonly signOut: () => void
}

/** Begins with the token that an earlier visit kept. @param url where the server is */
export function createAccess(url: string): Access {
  const listeners = new Set<() => void>()
  let state = stateOf(keptToken())

  function stateOf(token: string | null, wasRefused = false): AccessState {
    const watchedFetch: typeof fetch = async (input, init) => {
      const response = await fetch(input, init)
      if (response.status === 401 && token !== null && state.client === client) leave({ wasRefused: true })
      return response
    }
    const streams = shareStreams({ user: nameOf(token) })
    const client = createClient({ url, token: () => token, fetch: watchedFetch, streams })
    return { client, isSignedIn: token !== null, wasRefused }
  }

  function become(next: AccessState): void {
    const { client } = state
    state = next
    for (const listener of listeners) listener()
    client.close()
  }

  function leave({ wasRefused }: { wasRefused: boolean }): void {
    forgetToken()
    become(stateOf(null, wasRefused))
  }

  const access: Access = {
    getSnapshot: () => state,
    subscribe(listener) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
    signIn(token, options) {
      keepToken(token, options)
      become(stateOf(token))
    },
    signOut() {
      forgetDrafts()
      globalThis.location.hash = ''
      leave({ wasRefused: false })
    },
  }
  onForgotten(() => {
    if (state.isSignedIn) access.signOut()
  })
  return access
}

/** What the server says of a token. */
export type TokenCheck = 'accepted' | 'refused' | 'unreachable'

/** Asks the server for what every user may see. */
export async function checkToken(url: string, token: string): Promise<TokenCheck> {
  // Other characters cannot be in a header, and so in no token.
  if (!/^[\x21-\x7E]+$/.test(token)) return 'refused'
  await using client = createClient({ url, token: () => token })
  return await client.sessions.list().then(
    () => 'accepted',
    (error: unknown) => (isRefusal(error) ? 'refused' : 'unreachable'),
  )
}

function isRefusal(error: unknown): boolean {
  const code = typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined
  return code === 'UNAUTHENTICATED' || code === 'FORBIDDEN'
}

/** Tabs with the same token share their connection. The name tells them apart and says nothing of the token. */
function nameOf(token: string | null): string {
  if (token === null) return 'local'
  return [0x811c9dc5, 0x9e3779b9, 0x85ebca6b].map((seed) => hash(token, seed).toString(36)).join('-')
}

function hash(text: string, seed: number): number {
  let sum = seed
  for (let at = 0; at < text.length; at++) sum = Math.imul(sum ^ text.charCodeAt(at), 0x01000193) >>> 0
  return sum
}
