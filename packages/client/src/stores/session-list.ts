/**
 * The list of sessions on a screen. In: the newest sessions, live, and older pages as they are asked for. Out: snapshots of one list,
 * in which of each session the newest state wins, whichever answer brought it.
 */
import type { Session, VerbatimError } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'
import { toVerbatimError } from '../transport/to-error.ts'
import { createPublisher } from './publisher.ts'
import type { Publisher, Store } from './publisher.ts'
import { sharedStores } from './shared.ts'

/** The list as it looks now. */
export interface SessionListSnapshot {
  /** Newest activity first. */
  readonly sessions: readonly Session[]
  readonly status: 'loading' | 'ready'
  /** What went wrong last. */
  readonly error: VerbatimError | null
  readonly hasMore: boolean
}

/** A list of sessions to watch. None of its functions rejects: what goes wrong is the snapshot's `error`. */
export interface SessionListStore extends Store<SessionListSnapshot> {
  /** Loads the newest sessions again, and follows them again where that has ended. Resolves with false when that failed. */
  readonly refresh: () => Promise<boolean>
  /** Loads the next older page. */
  readonly loadMore: () => Promise<void>
  /** Gives a session another title; null removes it. Resolves with false when that failed. */
  readonly rename: (sessionId: string, title: string | null) => Promise<boolean>
  /** Deletes a session for good. It leaves the list at once, and comes back when that failed; then this resolves with false. */
  readonly remove: (sessionId: string) => Promise<boolean>
}

export const initialSessionList: SessionListSnapshot = Object.freeze({
  sessions: [],
  status: 'loading',
  error: null,
  hasMore: false,
})

/** The store of the caller's sessions. All who watch it with the same client share one store. */
export function sessionListStore(client: VerbatimClient): SessionListStore {
  return lists(client, '')
}

const lists = sharedStores((client) => new SessionList(client))

class SessionList implements SessionListStore {
  readonly getSnapshot: () => SessionListSnapshot
  readonly subscribe: (listener: () => void) => () => void
  readonly #client: VerbatimClient
  readonly #publisher: Publisher<SessionListSnapshot>
  #sessions: ReadonlyMap<string, Session> = new Map()
  readonly #removed = new Set<string>()
  #cursor: string | null = null
  #isLoaded = false
  #isFollowing = false
  #error: VerbatimError | null = null
  #watching: AbortController | undefined

  constructor(client: VerbatimClient) {
    this.#client = client
    this.#publisher = createPublisher<SessionListSnapshot>({
      initial: initialSessionList,
      take: () => this.#take(),
      onWatched: () => this.#attach(),
      onUnwatched: () => this.#watching?.abort(),
    })
    this.getSnapshot = this.#publisher.getSnapshot
    this.subscribe = this.#publisher.subscribe
  }

  readonly refresh = async (): Promise<boolean> => {
    const { signal } = this.#watching ?? {}
    if (signal?.aborted === false && !this.#isFollowing) void this.#follow(signal)
    return await this.#loadNewest()
  }

  readonly loadMore = async (): Promise<void> => {
    const cursor = this.#cursor
    if (cursor === null) return
    await this.#try(async () => {
      const page = await this.#client.sessions.list({ cursor })
      if (this.#cursor !== cursor) return // another call was first
      this.#merge(page.items)
      this.#cursor = page.nextCursor
    })
  }

  readonly rename = async (sessionId: string, title: string | null): Promise<boolean> =>
    await this.#try(async () => this.#merge([await this.#client.sessions.update({ sessionId, title })]))

  readonly remove = async (sessionId: string): Promise<boolean> => {
    this.#removed.add(sessionId)
    this.#publisher.publishNow()
    const isGone = await this.#try(async () => await this.#client.sessions.delete(sessionId))
    if (!isGone) this.#removed.delete(sessionId)
    this.#publisher.publish()
    return isGone
  }

  #attach(): void {
    this.#watching = new AbortController()
    void this.#follow(this.#watching.signal)
  }

  async #follow(signal: AbortSignal): Promise<void> {
    this.#isFollowing = true
    let isRefused = false
    try {
      for await (const state of this.#client.sessions.follow({ list: true, signal })) {
        if (state.type !== 'list') continue
        this.#takeNewest(state.sessions, state.nextCursor)
      }
    } catch {
      isRefused = !signal.aborted // else the list was left
    }
    // Before the load: a refresh meanwhile follows again.
    if (signal === this.#watching?.signal) this.#isFollowing = false
    // A server may refuse, as an older one does: then the list is as it is loaded.
    if (isRefused) await this.#loadNewest()
  }

  async #loadNewest(): Promise<boolean> {
    return await this.#try(async () => {
      const { items, nextCursor } = await this.#client.sessions.list()
      this.#takeNewest(items, nextCursor)
    })
  }

  /** What is among the newest and not named is gone; older pages stay. */
  #takeNewest(newest: readonly Session[], nextCursor: string | null): void {
    const oldest = nextCursor === null ? undefined : newest.at(-1)
    const older = [...this.#sessions.values()].filter(({ updatedAt }) => oldest && updatedAt < oldest.updatedAt)
    const hasOlderPages = this.#isLoaded && older.length > 0
    this.#sessions = new Map(older.map((session) => [session.id, session]))
    this.#merge(newest)
    if (!hasOlderPages) this.#cursor = nextCursor
    this.#isLoaded = true
    this.#error = null
    this.#publisher.publish()
  }

  #merge(sessions: readonly Session[]): void {
    const merged = new Map(this.#sessions)
    for (const session of sessions) {
      const known = merged.get(session.id)
      if (known === undefined || known.revision <= session.revision) merged.set(session.id, session)
    }
    this.#sessions = merged
  }

  async #try(action: () => Promise<unknown>): Promise<boolean> {
    try {
      await action()
      this.#publisher.publishNow()
      return true
    } catch (error) {
      this.#error = toVerbatimError(error)
      this.#publisher.publishNow()
      return false
    }
  }

  #take(): SessionListSnapshot {
    const shown = [...this.#sessions.values()].filter(({ id }) => !this.#removed.has(id))
    return {
      sessions: shown.toSorted((a, b) => (a.updatedAt < b.updatedAt ? 1 : -1)),
      status: this.#isLoaded ? 'ready' : 'loading',
      error: this.#error,
      hasMore: this.#cursor !== null,
    }
  }
}
