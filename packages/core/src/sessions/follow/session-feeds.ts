/**
 * The newest states of the sessions and lists that are followed in this process. In: hints of the change stream and a poll.
 * Out: states, shared by all followers of a session or a list. One read answers for all that have changed meanwhile, so the
 * cost follows the changes and not the followers; and a state takes the place of the one before, so a slow follower costs nothing.
 */
import { WatchOnDemand } from '../../async/watch-on-demand.ts'
import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { PrincipalKey } from '../../ports/principal-repository.ts'
import type { SessionListener, SessionStates, SessionWatcher } from '../../ports/session-states.ts'
import { ListFeed } from './list-feed.ts'
import { SessionFeed } from './session-feed.ts'

export interface FeedOptions {
  readonly sessionStates: SessionStates
  /** Hints; without it followers poll. */
  readonly sessionWatcher?: SessionWatcher | undefined
  readonly hints: { readonly areThere: boolean; begin(): void; end(reason: string): void }
  /** The longest pause between two looks at all that is followed, in milliseconds. */
  readonly pollMs: number
  /** The shortest one, where there are no hints. */
  readonly livePollMs: number
  /** Aborts when the engine closes. */
  readonly stopping: AbortSignal
}

/** So many keys are in one read. */
const maxKeysPerRead = 1_000
/** So many lists are read, or probed, at the same time. */
const maxListsAtOnce = 8
const maxListsPerProbe = 100

export class SessionFeeds {
  readonly #options: FeedOptions
  readonly #watch: WatchOnDemand | undefined
  readonly #sessions = new Map<SessionKey, SessionFeed>()
  readonly #lists = new Map<PrincipalKey, ListFeed>()
  /** Which list shows a session now. */
  readonly #listOf = new Map<SessionKey, ListFeed>()
  readonly #staleSessions = new Set<SessionFeed>()
  readonly #staleLists = new Set<ListFeed>()
  #isReading = false
  #isPolling = false
  #pauseMs: number
  #timer: NodeJS.Timeout | undefined

  constructor(options: FeedOptions) {
    this.#options = options
    this.#pauseMs = options.pollMs
    const { sessionWatcher: watcher, stopping, hints } = options
    const listener: SessionListener = {
      onChange: (key, listKey) => this.#hint(key, listKey),
      onGap: () => {
        hints.begin()
        this.#hintAll()
      },
      onUnsupported: (reason) => hints.end(reason),
    }
    const watch = (signal: AbortSignal) => watcher?.watch(listener, signal)
    const demanded = { watch: async (signal: AbortSignal) => await watch(signal), isNeeded: () => this.#isFollowed }
    this.#watch = watcher && new WatchOnDemand(demanded, stopping)
  }

  get #isFollowed(): boolean {
    return this.#sessions.size + this.#lists.size > 0
  }

  /** The feed of a session; `wake` is called after each change until the feed is released. */
  acquireSession(owner: Owner, sessionId: SessionId, wake: () => void): { feed: SessionFeed; release: () => void } {
    const key = this.#options.sessionStates.keyOf(owner, sessionId)
    const feed = this.#sessions.get(key) ?? new SessionFeed(key)
    if (feed.known === undefined) this.#staleSessions.add(feed)
    return { feed, release: this.#acquire(this.#sessions, feed, wake) }
  }

  /** As {@link acquireSession}, of the owner's list. */
  acquireList(owner: Owner, wake: () => void): { feed: ListFeed; release: () => void } {
    const key = this.#options.sessionStates.listKeyOf(owner)
    const feed = this.#lists.get(key) ?? new ListFeed(key, owner)
    if (feed.known === undefined) this.#staleLists.add(feed)
    return { feed, release: this.#acquire(this.#lists, feed, wake) }
  }

  /** Resolves when the watch has ended; abort the signal of the options first. */
  async closed(): Promise<void> {
    await this.#watch?.closed()
  }

  #acquire<TKey, TFeed extends { readonly key: TKey; readonly followers: Set<() => void> }>(
    feeds: Map<TKey, TFeed>,
    feed: TFeed,
    wake: () => void,
  ): () => void {
    feeds.set(feed.key, feed)
    feed.followers.add(wake)
    this.#watch?.start()
    this.#pauseMs = this.#nextPause({ isLive: true })
    this.#pollLater()
    this.#readSoon()
    return () => {
      feed.followers.delete(wake)
      if (feed.followers.size === 0) this.#drop(feeds, feed)
    }
  }

  #drop<TKey, TFeed extends { readonly key: TKey }>(feeds: Map<TKey, TFeed>, feed: TFeed): void {
    if (feeds.get(feed.key) === feed) feeds.delete(feed.key)
    if (feed instanceof SessionFeed) this.#staleSessions.delete(feed)
    if (feed instanceof ListFeed) {
      this.#staleLists.delete(feed)
      for (const key of feed.keys()) if (this.#listOf.get(key) === feed) this.#listOf.delete(key)
    }
    if (this.#isFollowed) return
    clearTimeout(this.#timer)
    this.#timer = undefined
  }

  /** With hints every `pollMs`. Without them soon after a change, and ever less often while there is none. */
  #pollLater(): void {
    if (this.#isPolling || this.#timer !== undefined || !this.#isFollowed || this.#options.stopping.aborted) return
    this.#timer = setTimeout(() => {
      this.#timer = undefined
      void this.#poll()
    }, this.#pauseMs)
  }

  #nextPause({ isLive }: { isLive: boolean }): number {
    const { pollMs, livePollMs, hints } = this.#options
    return hints.areThere ? pollMs : Math.min(pollMs, isLive ? livePollMs : this.#pauseMs * 1.25)
  }

  #hint(key: SessionKey, listKey: PrincipalKey | undefined): void {
    const session = this.#sessions.get(key)
    const list = this.#listOf.get(key) ?? (listKey && this.#lists.get(listKey))
    if (session !== undefined) this.#staleSessions.add(session)
    if (list !== undefined) this.#staleLists.add(list)
    if (session !== undefined || list !== undefined) this.#readSoon()
  }

  /** Hints may have been lost. */
  #hintAll(): void {
    for (const feed of this.#sessions.values()) this.#staleSessions.add(feed)
    for (const feed of this.#lists.values()) this.#staleLists.add(feed)
    this.#readSoon()
  }

  /** Reads what is stale, unless it does already; then that loop sees it. */
  #readSoon(): void {
    if (this.#isReading) return
    this.#isReading = true
    void this.#read().finally(() => (this.#isReading = false))
  }

  /** Never rejects: the next poll tries again what failed, and that holds up no other read. */
  async #read(): Promise<void> {
    await new Promise(setImmediate) // for those that are acquired in the same turn of the event loop
    while (this.#staleSessions.size + this.#staleLists.size > 0) {
      const sessions = take(this.#staleSessions, maxKeysPerRead)
      const lists = take(this.#staleLists, maxListsAtOnce)
      await Promise.all([this.#readSessions(sessions), ...lists.map(async (feed) => await this.#readList(feed))])
    }
  }

  async #readSessions(feeds: readonly SessionFeed[]): Promise<void> {
    if (feeds.length === 0) return
    try {
      const records = await this.#options.sessionStates.read(feeds.map(({ key }) => key))
      const byKey = new Map(records.map((record) => [record.key, record]))
      await Promise.all(feeds.map(async (feed) => await feed.take(byKey.get(feed.key))))
    } catch (error) {
      for (const feed of feeds) feed.fail(error)
    }
  }

  async #readList(feed: ListFeed): Promise<void> {
    try {
      const before = feed.keys()
      const isWhole = await feed.read(this.#options.sessionStates)
      const isUsed = this.#lists.get(feed.key) === feed
      for (const key of before) if (this.#listOf.get(key) === feed) this.#listOf.delete(key)
      if (isUsed) for (const key of feed.keys()) this.#listOf.set(key, feed)
      if (isUsed && !isWhole) this.#staleLists.add(feed)
    } catch (error) {
      feed.fail(error)
    }
  }

  /** Looks whether anything has changed without a hint. */
  async #poll(): Promise<void> {
    this.#isPolling = true
    try {
      await this.#pollSessions()
      await this.#pollLists()
    } catch {
      // The database is away: the next poll tries again, and followers keep what they have.
    } finally {
      const hasChanged = this.#staleSessions.size + this.#staleLists.size > 0
      if (hasChanged) this.#readSoon()
      this.#isPolling = false
      this.#pauseMs = this.#nextPause({ isLive: hasChanged })
      this.#pollLater()
    }
  }

  async #pollSessions(): Promise<void> {
    const feeds = [...this.#sessions.values()].filter((feed) => !this.#staleSessions.has(feed))
    for (let at = 0; at < feeds.length; at += maxKeysPerRead) {
      const asked = feeds.slice(at, at + maxKeysPerRead)
      const revisions = await this.#options.sessionStates.readRevisions(asked.map(({ key }) => key))
      for (const feed of asked) {
        const isUsed = this.#sessions.get(feed.key) === feed
        if (isUsed && feed.isBehind(revisions.get(feed.key))) this.#staleSessions.add(feed)
      }
    }
  }

  async #pollLists(): Promise<void> {
    const feeds = [...this.#lists.values()].filter((feed) => !this.#staleLists.has(feed))
    for (let at = 0; at < feeds.length; at += maxListsPerProbe) {
      const probes = feeds.slice(at, at + maxListsPerProbe).map((feed) => feed.probe())
      for (const feed of feeds) if (feed.hasFailed && this.#lists.get(feed.key) === feed) this.#staleLists.add(feed)
      for (const found of await this.#options.sessionStates.probeLists(probes)) {
        const feed = this.#lists.get(found.listKey)
        if (feed?.isBehind(found) === true) this.#staleLists.add(feed)
      }
    }
  }
}

/** Takes up to `most` items out of a set. */
function take<TItem>(items: Set<TItem>, most: number): TItem[] {
  const taken = [...items].slice(0, most)
  for (const item of taken) items.delete(item)
  return taken
}
