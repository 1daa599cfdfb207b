/** A session as the chat's store sees it: what it loads, and what the server says of changes. */
import { isVerbatimError } from '@verbatim/core'
import type { Message, Page, Session } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'

/** While a component watches, the store asks for the messages until they come; sooner when the browser wakes up. */
export const loadRetry = {
  baseDelayMs: 500,
  maxDelayMs: 15_000,
  maxAttempts: Number.POSITIVE_INFINITY,
  maxCallAttempts: Number.POSITIVE_INFINITY,
}

interface LiveSessionListener {
  /** The session has another state. */
  readonly onState: () => void
  readonly onDeleted: () => void
}

export class LiveSession {
  readonly #client: VerbatimClient
  readonly #sessionId: string
  /** The revision that the store has acted on. */
  #seenRevision = -1
  /** The newest state, whichever answer brought it. */
  newest: Session | null = null
  /** True while the session is not there yet, as far as this page knows: there is nothing to load. */
  isNew = false

  constructor(client: VerbatimClient, sessionId: string) {
    this.#client = client
    this.#sessionId = sessionId
  }

  /** Listens to what other tabs and devices do; never rejects. With an older server the chat shows what its page does itself. */
  async watch(signal: AbortSignal, { onState, onDeleted }: LiveSessionListener): Promise<void> {
    try {
      for await (const state of this.#client.sessions.follow({ sessionIds: [this.#sessionId], signal })) {
        if (state.type === 'session_deleted') onDeleted()
        if (state.type !== 'session' || state.session === null) continue
        this.#take(state.session)
        onState()
      }
    } catch {
      // The page was left, or the server refuses: the next load shows what there is.
    }
  }

  /** The newest state when the store has not acted on it: once, so that what cannot be loaded is not asked for again and again. */
  takeNews(): Session | undefined {
    if (this.newest === null || this.newest.revision <= this.#seenRevision) return undefined
    this.#seenRevision = this.newest.revision
    return this.newest
  }

  /** The session and its newest messages. Both at once is safe: the store finds a run that ends between by its prompt without an answer. */
  async load(): Promise<{ session: Session | undefined; page: Page<Message> }> {
    if (this.isNew) return { session: undefined, page: { items: [], nextCursor: null } }
    const { sessions, messages } = this.#client
    const [session, page] = await Promise.all([
      unlessNew(sessions.get(this.#sessionId)),
      unlessNew(messages.list(this.#sessionId, { order: 'newest' })),
    ])
    if (session !== undefined) this.#take(session)
    return { session, page: page ?? { items: [], nextCursor: null } }
  }

  #take(session: Session): void {
    this.isNew = false
    if (session.revision >= (this.newest?.revision ?? 0)) this.newest = session
  }
}

/** A session is made by its first prompt; until then there is none. */
async function unlessNew<TValue>(answer: Promise<TValue>): Promise<TValue | undefined> {
  try {
    return await answer
  } catch (error) {
    if (isVerbatimError(error) && error.code === 'SESSION_NOT_FOUND') return undefined
    throw error
  }
}
