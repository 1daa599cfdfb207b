/**
 * One connection for all that a client follows (`sessions.follow`). In: topics, which come and go. Out: for each topic the newest state,
 * or the batches of a run once and in order (P2). When a topic is added the hub opens the stream anew, with the cursors of then; what
 * arrives twice is dropped, so no topic sees the change.
 */
import { batchAfter, childController, lastSeqOf, maxFollowed, toCursor, VerbatimError } from '@verbatim/core'
import type { EventBatch, FollowedUpdate, RunId, SourceFollowOptions } from '@verbatim/core'
import type { Connection } from './connection.ts'
import { openStream } from './open-stream.ts'
import type { SseFrame } from './open-stream.ts'
import { createReconnect } from './reconnect.ts'
import { isOlder, listWith } from './session-state.ts'
import type { SessionState } from './session-state.ts'
import { errorOfShape, isPassing, toVerbatimError } from './to-error.ts'
import { onWakeUp } from './wait.ts'

/** What a subscriber of the hub receives. */
export type HubNews =
  | SessionState
  | { readonly type: 'run_batch'; readonly batch: EventBatch }
  /** Nothing comes any more: the run is over, or the topic cannot be followed. */
  | { readonly type: 'closed'; readonly error: VerbatimError | null }
  /** Whether the connection is there. */
  | { readonly type: 'connection'; readonly isOpen: boolean }

export type Topic =
  | { readonly type: 'session'; readonly sessionId: string }
  | { readonly type: 'list' }
  | { readonly type: 'run'; readonly runId: RunId; readonly after: number }

type Receive = (news: HubNews) => void

/** Where topics are followed: over this client's own connection, or over one that the tabs of a browser share. */
export interface Hub {
  /** Calls `receive` until the result is called, or it has received `closed`. */
  subscribe(topic: Topic, receive: Receive): () => void
  /** Ends everything; what is subscribed receives nothing more. */
  close(): void
}

/** A way to follow that tabs share. */
export interface StreamSharing {
  /** @param url names the server: tabs of one server share, others do not */
  open(openOwn: () => Hub, url: string): Hub
  /** A run's batches over the hub; as the client's own follow. */
  followRun(hub: Hub, request: SourceFollowOptions & { readonly runId: RunId }): AsyncIterable<EventBatch>
}

interface Subscriber {
  readonly topic: Topic
  readonly receive: Receive
  /** Of a run: the last seq that was received. */
  seq: number
}

/** How long a topic without a subscriber may stay in the stream, before the hub opens it without that topic, in milliseconds. */
const dropDelayMs = 2_000

export class StreamHub implements Hub {
  readonly #connection: Connection
  readonly #isForTabs: boolean
  readonly #closed = new AbortController()
  readonly #subscribers = new Set<Subscriber>()
  readonly #sessions = new Map<string, SessionState>()
  #list: Extract<SessionState, { type: 'list' }> | undefined
  #isRunning = false
  #isReopening = false
  #isOpen = false
  /** Aborts the stream that is open, to open one with other topics. */
  #changed = new AbortController()
  #timer: ReturnType<typeof setTimeout> | undefined

  /** @param isForTabs true when tabs share it: it serves them also while its own page is hidden */
  constructor(connection: Connection, { isForTabs = false } = {}) {
    this.#connection = connection
    this.#isForTabs = isForTabs
  }

  subscribe(topic: Topic, receive: Receive): () => void {
    const subscriber: Subscriber = { topic, receive, seq: topic.type === 'run' ? topic.after : 0 }
    const isCarried = topic.type !== 'run' && this.#has(keyOf(topic))
    this.#subscribers.add(subscriber)
    const known = topic.type === 'session' ? this.#sessions.get(topic.sessionId) : undefined
    const news = topic.type === 'list' ? this.#list : known
    if (news !== undefined) queueMicrotask(() => this.#subscribers.has(subscriber) && receive(news))
    if (this.#isOpen) receive({ type: 'connection', isOpen: true })
    if (!isCarried) this.#change(0)
    return () => {
      if (this.#subscribers.delete(subscriber) && !this.#has(keyOf(topic))) this.#forget(topic)
    }
  }

  close(): void {
    this.#subscribers.clear()
    clearTimeout(this.#timer)
    this.#closed.abort()
    this.#changed.abort()
  }

  #has(key: string): boolean {
    return [...this.#subscribers].some(({ topic }) => keyOf(topic) === key)
  }

  #forget(topic: Topic): void {
    if (topic.type === 'session') this.#sessions.delete(topic.sessionId)
    if (topic.type === 'list') this.#list = undefined
    this.#change(this.#subscribers.size === 0 ? 0 : dropDelayMs)
  }

  /** Opens the stream with the topics of now, `delayMs` later: what changes meanwhile is in it, too. */
  #change(delayMs: number): void {
    if (this.#closed.signal.aborted) return
    clearTimeout(this.#timer)
    // Not a timer where it can be helped: those of a hidden page wait for up to a minute.
    if (delayMs > 0) this.#timer = setTimeout(() => this.#reopen(), delayMs)
    else if (!this.#isReopening) queueMicrotask(() => this.#reopen())
    this.#isReopening ||= delayMs === 0
  }

  #reopen(): void {
    this.#isReopening = false
    this.#changed.abort()
    if (!this.#isRunning && this.#subscribers.size > 0 && !this.#closed.signal.aborted) void this.#run()
  }

  async #run(): Promise<void> {
    this.#isRunning = true
    const reconnect = createReconnect(this.#connection.retry)
    try {
      while (this.#subscribers.size > 0 && !this.#closed.signal.aborted) {
        this.#changed = new AbortController()
        try {
          await this.#readStream(reconnect)
        } catch (error) {
          await this.#comeBack(error, reconnect)
        }
      }
    } catch (error) {
      if (!this.#closed.signal.aborted) this.#closeAll(toVerbatimError(error))
    } finally {
      this.#isRunning = false
    }
  }

  /** @throws VerbatimError when the failure is final; the signal's reason when the hub closes */
  async #comeBack(error: unknown, reconnect: ReturnType<typeof createReconnect>): Promise<void> {
    this.#closed.signal.throwIfAborted()
    if (this.#changed.signal.aborted) return // with other topics, at once
    this.#show(false)
    const failure = toVerbatimError(error)
    const { signal } = this.#closed
    const until = new Promise<void>((resolve) =>
      this.#changed.signal.addEventListener('abort', () => resolve(), { once: true }),
    )
    await reconnect.afterFailure(failure, { signal, isPassing: isPassing(failure), until })
  }

  async #readStream(reconnect: ReturnType<typeof createReconnect>): Promise<void> {
    const { controller, release } = childController(this.#closed.signal, this.#changed.signal)
    try {
      await whenVisible(this.#needsNoPage, controller.signal)
      const frames = openStream(this.#connection, {
        path: this.#connection.pathOf('sessions.follow'),
        input: this.#input(),
        refreshToken: reconnect.refreshToken,
        signal: controller.signal,
        onRetryHint: (retryMs) => reconnect.hint(retryMs),
      })
      for await (const frame of frames) {
        if (frame.event === 'ping') reconnect.accepted()
        const update = updateOf(frame, this.#connection)
        if (update === undefined) continue
        reconnect.progress()
        this.#show(true)
        this.#take(update)
      }
    } finally {
      release()
    }
    throw new VerbatimError('UNAVAILABLE', 'The connection was cut')
  }

  /** A page that is not shown needs no states; a run goes on being read. */
  get #needsNoPage(): boolean {
    return this.#isForTabs || [...this.#subscribers].some(({ topic }) => topic.type === 'run')
  }

  #input() {
    const sessionIds = new Set<string>()
    const runs = new Map<RunId, number>()
    let list = false
    for (const { topic, seq } of this.#subscribers) {
      if (topic.type === 'session') sessionIds.add(topic.sessionId)
      else if (topic.type === 'list') list = true
      else runs.set(topic.runId, Math.min(seq, runs.get(topic.runId) ?? seq))
    }
    return {
      // The newest subscribers; the others keep what they have.
      sessionIds: [...sessionIds].slice(-maxFollowed.sessions),
      list,
      runs: [...runs].slice(0, maxFollowed.runs).map(([runId, after]) => {
        return after === 0 ? { runId } : { runId, lastEventId: toCursor(runId, after) }
      }),
    }
  }

  #take(update: FollowedUpdate): void {
    switch (update.type) {
      case 'session':
      case 'session_deleted':
        return this.#takeSession(update)
      case 'list':
        return this.#takeList(update)
      case 'list_changed':
        return this.#takeList(listWith(this.#list, update))
      case 'run_batch':
        return this.#takeBatch(update)
      case 'run_closed': {
        const error =
          update.error === null ? null : new VerbatimError(update.error.code, update.error.message, update.error)
        for (const subscriber of this.#of(`run ${update.runId}`)) this.#end(subscriber, error)
      }
    }
  }

  #takeSession(state: Extract<SessionState, { sessionId: string }>): void {
    if (isOlder(state, this.#sessions.get(state.sessionId))) return
    this.#sessions.set(state.sessionId, state)
    for (const { receive } of this.#of(`session ${state.sessionId}`)) receive(state)
  }

  #takeList(list: Extract<SessionState, { type: 'list' }>): void {
    this.#list = list
    for (const { receive } of this.#of('list')) receive(list)
  }

  #takeBatch({ runId, firstSeq, events }: Extract<FollowedUpdate, { type: 'run_batch' }>): void {
    for (const subscriber of this.#of(`run ${runId}`)) {
      const batch = batchAfter({ firstSeq, events }, subscriber.seq)
      if (batch === undefined) continue
      if (batch.firstSeq > subscriber.seq + 1) {
        this.#change(0) // a gap: asked for again
        continue
      }
      subscriber.seq = lastSeqOf(batch)
      subscriber.receive({ type: 'run_batch', batch })
    }
  }

  #of(key: string): Subscriber[] {
    return [...this.#subscribers].filter(({ topic }) => keyOf(topic) === key)
  }

  #show(isOpen: boolean): void {
    if (this.#isOpen === isOpen) return
    this.#isOpen = isOpen
    for (const { receive } of this.#subscribers) receive({ type: 'connection', isOpen })
  }

  #end(subscriber: Subscriber, error: VerbatimError | null): void {
    if (!this.#subscribers.delete(subscriber)) return
    subscriber.receive({ type: 'closed', error })
  }

  #closeAll(error: VerbatimError): void {
    this.#isOpen = false
    this.#sessions.clear()
    this.#list = undefined
    for (const subscriber of this.#subscribers) this.#end(subscriber, error)
  }
}

function keyOf(topic: Topic): string {
  if (topic.type === 'list') return 'list'
  return topic.type === 'run' ? `run ${topic.runId}` : `session ${topic.sessionId}`
}

/** The update of a frame; undefined for a sign of life, and for what this client does not know. */
function updateOf({ event, data }: SseFrame, { transformer }: Connection): FollowedUpdate | undefined {
  if (event !== 'message' && event !== 'serialized-error') return undefined
  let decoded: unknown
  try {
    decoded = transformer.decode(JSON.parse(data))
  } catch (cause) {
    throw new VerbatimError('UNAVAILABLE', 'The server sent something that is not an update', { cause })
  }
  if (event === 'serialized-error') throw errorOfShape(decoded)
  return decoded as FollowedUpdate // parse border: what is not known is left out
}

/** Resolves when the page is shown, or at once where there is no page or none is needed. */
async function whenVisible(isNeeded: boolean, signal: AbortSignal): Promise<void> {
  if (isNeeded || typeof document === 'undefined' || document.visibilityState === 'visible') return
  await new Promise<void>((resolve, reject) => {
    const stop = onWakeUp((cause) => {
      if (cause === 'online') return
      stop()
      resolve()
    })
    signal.addEventListener('abort', () => {
      stop()
      reject(signal.reason)
    })
  })
}
