/**
 * One connection for all tabs of a browser. One tab leads: it holds a Web Lock, and its hub has the topics of all. A channel carries
 * topics to it and news from it. Each tab keeps its own place in every run and drops what it has, so a new leader goes on exactly where
 * each tab is (P2). Where a leader does not answer (its page is frozen), a tab opens its own connection until it does.
 */
import { batchAfter, lastSeqOf, VerbatimError } from '@verbatim/core'
import type { WireError } from '@verbatim/core'
import type { Hub, HubNews, StreamSharing, Topic } from '../transport/stream-hub.ts'
import { followSharedRun } from './follow-shared-run.ts'

/** Options of {@link shareStreams}. */
export interface ShareOptions {
  /**
   * Who is signed in, such as a user id. Only tabs of the same user share, so a tab that signs in as another user receives nothing of
   * the first. Never a secret.
   */
  readonly user: string
  /** How long a tab waits for an answer of the leading tab before it opens its own connection, in milliseconds. @default 3_000 */
  readonly answerMs?: number | undefined
}

/**
 * Shares one connection among the tabs of a browser, for what `createClient({ streams })` follows. A browser opens six connections to an
 * origin over HTTP/1.1, and without this each tab takes one or two. Where the browser has no Web Locks or no BroadcastChannel, each
 * tab has one connection.
 *
 * @example
 * const verbatim = createClient({ url: '', streams: shareStreams({ user: account.id }) })
 */
export function shareStreams({ user, answerMs = 3_000 }: ShareOptions): StreamSharing {
  return {
    open(openOwn, url) {
      const hasLocks =
        typeof navigator !== 'undefined' && 'locks' in navigator && typeof BroadcastChannel !== 'undefined'
      return hasLocks ? new TabHub(`verbatim ${JSON.stringify([url, user])}`, { openOwn, answerMs }) : openOwn()
    },
    followRun: followSharedRun,
  }
}

/** What travels between tabs. `leader` and `tab` are ids of tabs. */
type Message =
  /** Asks for the leader. */
  | { readonly type: 'hello'; readonly tab: string }
  /** The leader's answer, and its first word when it begins to lead. */
  | { readonly type: 'leader'; readonly leader: string }
  /** All topics of a tab, by ids of the tab's own: what is missing is left. */
  | { readonly type: 'topics'; readonly tab: string; readonly topics: readonly (readonly [number, Topic])[] }
  | {
      readonly type: 'news'
      readonly tab: string
      readonly leader: string
      readonly id: number
      readonly news: SentNews
    }
  | { readonly type: 'gone'; readonly tab: string }

/** Errors lose their class on the way. */
type SentNews = Exclude<HubNews, { type: 'closed' }> | { readonly type: 'closed'; readonly error: WireError | null }

interface Subscription {
  /** Another one each time that the topic begins anew, so that nothing of before is taken for it. */
  id: number
  readonly topic: Topic
  readonly receive: (news: HubNews) => void
  /** Of a run: the last seq that this tab has received. */
  seq: number
  /** Leaves this tab's own hub, while that serves the subscription. */
  leaveOwn?: (() => void) | undefined
}

/** Topics of one tab at the leader, with the way to leave each. */
type Served = Map<number, { readonly key: string; readonly leave: () => void }>

class TabHub implements Hub {
  readonly #name: string
  readonly #tab = crypto.randomUUID()
  readonly #channel: BroadcastChannel
  readonly #closed = new AbortController()
  readonly #openOwn: () => Hub
  readonly #subscriptions = new Map<number, Subscription>()
  readonly #served = new Map<string, Served>()
  #nextId = 1
  /** This tab's connection: of the leader for all, of another only while no leader answers. */
  #own: Hub | undefined
  #isLeading = false
  #leader: string | undefined
  readonly #timer: ReturnType<typeof setInterval>
  /** True while an answer of the leader is awaited. */
  #hasAsked = true
  #isAnnouncing = false
  #isKnownToLive = false

  constructor(name: string, { openOwn, answerMs }: { openOwn: () => Hub; answerMs: number }) {
    this.#name = name
    this.#openOwn = openOwn
    this.#channel = new BroadcastChannel(name)
    this.#channel.onmessage = ({ data }: MessageEvent<Message>) => this.#take(data)
    const { signal } = this.#closed
    // Held as long as the tab lives: the leader sees by it that a tab has died. So the tab names its topics only when it has it.
    this.#hold(`${name} ${this.#tab}`, () => this.#greet())
    this.#hold(name, () => signal.aborted || this.#lead())
    this.#timer = setInterval(() => this.#ask(), answerMs)
  }

  subscribe(topic: Topic, receive: (news: HubNews) => void): () => void {
    const subscription: Subscription = { id: 0, topic, receive, seq: topic.type === 'run' ? topic.after : 0 }
    this.#begin(subscription)
    return () => {
      if (!this.#subscriptions.delete(subscription.id)) return
      subscription.leaveOwn?.()
      if (!this.#isLeading) this.#announceSoon()
    }
  }

  /** Follows the topic from the tab's place, over the leader or over the tab's own connection. */
  #begin(subscription: Subscription): void {
    this.#subscriptions.delete(subscription.id)
    subscription.leaveOwn?.()
    subscription.leaveOwn = undefined
    subscription.id = this.#nextId++
    this.#subscriptions.set(subscription.id, subscription)
    const isAlone = this.#leader === undefined && this.#own !== undefined
    if (this.#isLeading || isAlone) this.#serveOwn(subscription)
    else this.#announceSoon()
  }

  close(): void {
    if (this.#closed.signal.aborted) return
    clearInterval(this.#timer)
    this.#subscriptions.clear()
    this.#send({ type: 'gone', tab: this.#tab })
    this.#closed.abort() // releases the locks, so that the next tab leads
    this.#own?.close()
    this.#channel.close()
  }

  /** Calls `begin` when this tab has the lock, and keeps it until the hub closes. */
  #hold(name: string, begin: () => unknown): void {
    const { signal } = this.#closed
    void navigator.locks
      .request(name, { signal }, async () => {
        begin()
        await new Promise<void>((resolve) => {
          if (signal.aborted) resolve()
          signal.addEventListener('abort', () => resolve(), { once: true })
        })
      })
      .catch(() => {}) // closed before the lock was free
  }

  #greet(): void {
    this.#isKnownToLive = true
    this.#send({ type: 'hello', tab: this.#tab })
  }

  #lead(): void {
    this.#isLeading = true
    this.#leader = this.#tab
    this.#own ??= this.#openOwn()
    for (const subscription of this.#subscriptions.values()) this.#serveOwn(subscription)
    this.#send({ type: 'leader', leader: this.#tab })
  }

  #take(message: Message): void {
    if (this.#closed.signal.aborted) return
    switch (message.type) {
      case 'hello':
        if (this.#isLeading) this.#send({ type: 'leader', leader: this.#tab })
        return
      case 'leader':
        return this.#meetLeader(message.leader)
      case 'topics':
        if (this.#isLeading) this.#serve(message.tab, message.topics)
        return
      case 'gone':
        return this.#drop(message.tab)
      case 'news':
        if (message.tab === this.#tab && message.leader === this.#leader) this.#pass(message.id, message.news)
    }
  }

  /** A new leader, or one that answers again, receives this tab's topics with the places of now. */
  #meetLeader(leader: string): void {
    if (!this.#isKnownToLive) return
    this.#hasAsked = false
    if (this.#isLeading || this.#leader === leader) return
    this.#leader = leader
    // A copy: each begins under another id.
    for (const subscription of Array.from(this.#subscriptions.values())) this.#begin(subscription)
    this.#own?.close()
    this.#own = undefined
  }

  #announceSoon(): void {
    if (this.#isAnnouncing) return
    this.#isAnnouncing = true
    queueMicrotask(() => this.#announce())
  }

  #announce(): void {
    this.#isAnnouncing = false
    if (this.#leader === undefined || this.#isLeading) return
    const topics = [...this.#subscriptions].map(([id, { topic, seq }]) => {
      return [id, topic.type === 'run' ? { ...topic, after: seq } : topic] as const
    })
    this.#send({ type: 'topics', tab: this.#tab, topics })
  }

  /** Asks whether the leader is there. One that did not answer the last time is frozen or gone. */
  #ask(): void {
    if (this.#isLeading || this.#subscriptions.size === 0) return
    if (this.#hasAsked) this.#goAlone()
    this.#hasAsked = true
    this.#send({ type: 'hello', tab: this.#tab })
  }

  #goAlone(): void {
    this.#leader = undefined
    this.#own ??= this.#openOwn()
    for (const subscription of this.#subscriptions.values()) this.#serveOwn(subscription)
  }

  #serveOwn(subscription: Subscription): void {
    const { id, topic, seq } = subscription
    if (subscription.leaveOwn !== undefined) return
    const from: Topic = topic.type === 'run' ? { ...topic, after: seq } : topic
    this.#own ??= this.#openOwn()
    subscription.leaveOwn = this.#own.subscribe(from, (news) => this.#receive(id, news))
  }

  /** Takes the topics of another tab: new ones begin, missing ones end. */
  #serve(tab: string, topics: readonly (readonly [number, Topic])[]): void {
    const served = this.#served.get(tab) ?? this.#beginServing(tab)
    const wanted = new Map(topics)
    for (const [id, { leave }] of served) {
      if (wanted.has(id)) continue
      leave()
      served.delete(id)
    }
    for (const [id, topic] of wanted) if (!served.has(id)) this.#serveOne({ tab, served, id, topic })
  }

  #serveOne({ tab, served, id, topic }: { tab: string; served: Served; id: number; topic: Topic }): void {
    const leave = this.#own?.subscribe(topic, (news) => {
      const error = news.type === 'closed' && news.error !== null ? news.error.toWire() : null
      const sent: SentNews = news.type === 'closed' ? { type: 'closed', error } : news
      if (news.type === 'closed') served.delete(id)
      this.#send({ type: 'news', tab, leader: this.#tab, id, news: sent })
    })
    if (leave !== undefined) served.set(id, { key: topic.type, leave })
  }

  /** Until the tab's lock is free, which it is when the tab has died. */
  #beginServing(tab: string): Served {
    const served: Served = new Map()
    this.#served.set(tab, served)
    const { signal } = this.#closed
    void navigator.locks.request(`${this.#name} ${tab}`, { signal }, () => this.#drop(tab)).catch(() => {})
    return served
  }

  #drop(tab: string): void {
    for (const { leave } of this.#served.get(tab)?.values() ?? []) leave()
    this.#served.delete(tab)
  }

  #pass(id: number, news: SentNews): void {
    if (news.type !== 'closed') return this.#receive(id, news)
    const error = news.error && new VerbatimError(news.error.code, news.error.message, news.error)
    const subscription = this.#subscriptions.get(id)
    // The leader's token was refused, not this tab's.
    if (error?.code === 'UNAUTHENTICATED' && subscription !== undefined) return this.#serveOwn(subscription)
    this.#receive(id, { type: 'closed', error })
  }

  /** Passes on what the tab does not have yet. */
  #receive(id: number, news: HubNews): void {
    const subscription = this.#subscriptions.get(id)
    if (subscription === undefined) return
    if (news.type === 'closed') this.#subscriptions.delete(id)
    if (news.type !== 'run_batch') return subscription.receive(news)
    const batch = batchAfter(news.batch, subscription.seq)
    if (batch === undefined) return
    if (batch.firstSeq > subscription.seq + 1) return this.#begin(subscription) // a gap
    subscription.seq = lastSeqOf(batch)
    subscription.receive({ type: 'run_batch', batch })
  }

  #send(message: Message): void {
    if (!this.#closed.signal.aborted) this.#channel.postMessage(message)
  }
}
