/**
 * One session on a screen. In: the stored messages and the run being made, if any. Out: snapshots of one list of messages.
 * Loading finds the run that is being made and joins it, which is how a reload in mid-answer goes on (promise P2); the streamed
 * answer is then the stored one (promise P4), so putting the one in the other's place shows nothing.
 */
import { isTerminalStatus, isVerbatimError, textOf, VerbatimError } from '@verbatim/core'
import type { Answer, Message, Page, RunHandle, Session, WhenBusy } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'
import { retryCall } from '../transport/reconnect.ts'
import { toVerbatimError } from '../transport/to-error.ts'
import { onWakeUp } from '../transport/wait.ts'
import { hasAnswer, hasGap, mergeMessages, unansweredRun, visibleMessages } from './chat-messages.ts'
import type { ChatMessage, LocalRun } from './chat-messages.ts'
import { createPublisher } from './publisher.ts'
import type { Publisher, Store } from './publisher.ts'
import { acquireRun, sharedStores } from './shared.ts'
import type { AcquiredRun } from './shared.ts'

/** `loading`: the messages are not here yet. `starting`, `streaming`, `reconnecting`: an answer is being made. */
export type ChatStatus = 'loading' | 'idle' | 'starting' | 'streaming' | 'reconnecting'

/** A chat as it looks now. */
export interface ChatSnapshot {
  /** Oldest first, the one being made last. */
  readonly messages: readonly ChatMessage[]
  readonly status: ChatStatus
  /** What went wrong last, until the next `send`; also a failed run's error. */
  readonly error: VerbatimError | null
  /** The run being made. */
  readonly runId: string | null
  readonly hasOlder: boolean
}

/** What {@link ChatStore.send} takes beside the prompt. */
export interface ChatSendOptions {
  /** The agent that answers. @default the server's first */
  readonly agentId?: string | undefined
  /** What becomes of the prompt while an answer is being made. @default "reject" */
  readonly whenBusy?: WhenBusy | undefined
}

/** A chat to watch and to talk in. None of its functions rejects: what goes wrong is the snapshot's `error`. */
export interface ChatStore extends Store<ChatSnapshot> {
  /**
   * Sends a prompt; it is shown at once and taken back when it is refused. Resolves with true once it is durable, and with
   * false when it was refused. When another tab's run is being made (`SESSION_BUSY`), that one is shown. With `whenBusy` the
   * prompt waits for its turn instead, or replaces all before it; it is shown as `queued` meanwhile.
   */
  readonly send: (prompt: string, options?: ChatSendOptions) => Promise<boolean>
  /** Asks the server to stop the answer; what is there of it stays, as a cancelled message. */
  readonly stop: () => Promise<void>
  /** Sends the last user message's text again, as a new turn; the earlier turn stays in the session. */
  readonly regenerate: () => Promise<boolean>
  /** Loads the page of messages before the oldest one shown. */
  readonly loadOlder: () => Promise<void>
  /** Loads the newest messages again and joins the run being made, if any. Done by itself when the page is shown again. */
  readonly refresh: () => Promise<void>
}

export const initialChat: ChatSnapshot = Object.freeze({
  messages: [],
  status: 'loading',
  error: null,
  runId: null,
  hasOlder: false,
})

/** The store of a session. All who watch the same session with the same client share one store and one connection. */
export const chatStore: (client: VerbatimClient, sessionId: string) => ChatStore = sharedStores(
  (client, sessionId) => new SessionChat(client, sessionId),
)

/** While a component watches, the store asks for the messages until they come; sooner when the browser wakes up. */
const loadRetry = {
  baseDelayMs: 500,
  maxDelayMs: 15_000,
  maxAttempts: Number.POSITIVE_INFINITY,
  maxCallAttempts: Number.POSITIVE_INFINITY,
}

interface ActiveRun {
  readonly handle: RunHandle
  stop(): void
}

class SessionChat implements ChatStore {
  readonly getSnapshot: () => ChatSnapshot
  readonly subscribe: (listener: () => void) => () => void
  readonly #client: VerbatimClient
  readonly #sessionId: string
  readonly #publisher: Publisher<ChatSnapshot>
  #stored: readonly Message[] = []
  #locals: readonly LocalRun[] = []
  #olderCursor: string | null = null
  #isLoaded = false
  #error: VerbatimError | null = null
  /** The run being made, and those of this page that wait. */
  #runs: readonly ActiveRun[] = []
  /** A run that the server would not let us follow: not to be joined again until the user does something. */
  #unjoinable: string | undefined
  #watching: AbortController | undefined

  constructor(client: VerbatimClient, sessionId: string) {
    this.#client = client
    this.#sessionId = sessionId
    this.#publisher = createPublisher<ChatSnapshot>({
      initial: initialChat,
      take: () => this.#take(),
      onWatched: () => this.#attach(),
      onUnwatched: () => this.#detach(),
    })
    this.getSnapshot = this.#publisher.getSnapshot
    this.subscribe = this.#publisher.subscribe
  }

  /** A run of this page may wait for another tab's run, which the store joined later. */
  get #active(): ActiveRun | undefined {
    return this.#runs.find(({ handle }) => handle.answer.status !== 'queued') ?? this.#runs[0]
  }

  readonly send = async (prompt: string, options: ChatSendOptions = {}): Promise<boolean> => {
    const activeRunId = this.#active?.handle.id
    if (activeRunId !== undefined && (options.whenBusy ?? 'reject') === 'reject') {
      this.#report(new VerbatimError('SESSION_BUSY', undefined, { data: { activeRunId } }))
      return false
    }
    this.#error = null
    this.#unjoinable = undefined
    const handle = this.#client.chat(this.#sessionId).send(prompt, options)
    this.#follow(
      acquireRun(this.#client, handle.id, () => handle),
      prompt,
    )
    this.#publisher.publishNow()
    return await handle.started.then(
      () => true,
      () => false, // the handle's end reports why
    )
  }

  readonly stop = async (): Promise<void> => {
    try {
      await this.#active?.handle.cancel()
    } catch (error) {
      this.#report(error)
    }
  }

  readonly regenerate = async (): Promise<boolean> => {
    const isPrompt = ({ role, continuationOf }: ChatMessage) => role === 'user' && continuationOf === null
    const prompt = this.#take().messages.findLast(isPrompt)
    return prompt === undefined ? false : await this.send(textOf(prompt.content))
  }

  readonly loadOlder = async (): Promise<void> => {
    const cursor = this.#olderCursor
    if (cursor === null) return
    try {
      const page = await this.#client.messages.list(this.#sessionId, { order: 'newest', cursor })
      if (this.#olderCursor !== cursor) return // another call was first
      this.#stored = mergeMessages(this.#stored, page.items)
      this.#olderCursor = page.nextCursor
      this.#publisher.publish()
    } catch (error) {
      this.#report(error)
    }
  }

  readonly refresh = async (): Promise<void> => {
    this.#unjoinable = undefined
    try {
      await this.#load()
    } catch (error) {
      this.#report(error)
    }
  }

  #attach(): void {
    this.#watching = new AbortController()
    const { signal } = this.#watching
    const stopListening = onWakeUp(() => {
      if (this.#active === undefined) void this.refresh()
    })
    signal.addEventListener('abort', stopListening, { once: true })
    void retryCall(async () => await this.#firstLoad(), { retry: loadRetry, signal }).catch(() => {}) // #firstLoad has reported
  }

  #detach(): void {
    this.#watching?.abort()
    for (const run of this.#runs) run.stop()
    this.#runs = []
  }

  async #firstLoad(): Promise<void> {
    try {
      await this.#load()
      this.#error = null
    } catch (error) {
      this.#report(error)
      throw error
    }
  }

  async #load(): Promise<void> {
    // Both at once is safe: a run that ends between the two answers is found by its user message, which has no answer yet.
    const [session, page] = await Promise.all([this.#loadSession(), this.#loadNewest()])
    this.#takePage(page)
    const runId = session?.activeRunId ?? unansweredRun(this.#stored)
    if (runId !== undefined) this.#join(runId)
    for (const local of this.#locals) if (local.answer.status === 'queued') this.#join(local.runId)
  }

  async #loadSession(): Promise<Session | undefined> {
    return await unlessNew(this.#client.sessions.get(this.#sessionId))
  }

  async #loadNewest(): Promise<Page<Message>> {
    const page = await unlessNew(this.#client.messages.list(this.#sessionId, { order: 'newest' }))
    return page ?? { items: [], nextCursor: null }
  }

  #takePage(page: Page<Message>): void {
    const isFresh = !this.#isLoaded || hasGap(this.#stored, page.items)
    this.#stored = mergeMessages(isFresh ? [] : this.#stored, page.items)
    if (isFresh) this.#olderCursor = page.nextCursor
    this.#isLoaded = true
    this.#locals = this.#locals.filter((local) => !hasAnswer(this.#stored, local.runId))
    this.#publisher.publish()
  }

  #join(runId: string): void {
    const local = this.#locals.find((candidate) => candidate.runId === runId)
    const isKnown =
      this.#runs.some(({ handle }) => handle.segments.some((segment) => segment.runId === runId)) ||
      runId === this.#unjoinable
    const hasEnded = hasAnswer(this.#stored, runId) || (local !== undefined && isTerminalStatus(local.answer.status))
    const isBeingMade = this.#runs.some(({ handle }) => handle.answer.status !== 'queued')
    if (isKnown || hasEnded || (isBeingMade && local?.answer.status !== 'queued')) return
    const open = () => this.#client.runs.follow(runId, { answer: local?.answer })
    this.#follow(acquireRun(this.#client, runId, open), local?.prompt ?? null)
  }

  /** @param prompt null when this page did not send it */
  #follow({ handle, release }: AcquiredRun, prompt: string | null): void {
    let wasQueued = false
    let segmentCount = 1
    const update = () => {
      const isStarted = handle.status !== 'starting' && handle.status !== 'error'
      const { segments } = handle
      for (const [at, { runId, answer }] of segments.entries()) {
        if (!hasAnswer(this.#stored, runId))
          this.#setLocal({ runId, prompt: at === 0 ? prompt : null, isStarted, answer })
      }
      const isQueued = handle.answer.status === 'queued'
      if (isOver(handle)) this.#finish(handle)
      // A queued run may wait for another tab's run; each run that continues the answer has a stored prompt. The next load
      // brings what this one does not.
      else if (isQueued !== wasQueued || segments.length !== segmentCount) void this.#load().catch(() => {})
      wasQueued = isQueued
      segmentCount = segments.length
      this.#publisher.publish()
    }
    const unsubscribe = handle.subscribe(update)
    const stop = () => {
      unsubscribe()
      // A prompt that is on its way is not given up because its page was left.
      if (handle.status === 'starting') void handle.started.catch(() => {}).finally(release)
      else release()
    }
    this.#runs = [...this.#runs, { handle, stop }]
    update()
  }

  #finish(handle: RunHandle): void {
    const run = this.#runs.find((candidate) => candidate.handle === handle)
    if (run === undefined) return
    run.stop()
    this.#runs = this.#runs.filter((candidate) => candidate !== run)
    if (handle.status === 'closed') return
    this.#error = handle.error ?? this.#error
    const wasRefused = handle.status === 'error' && handle.answer.lastSeq === 0
    if (wasRefused || wasNeverAsked(handle.answer)) {
      this.#locals = this.#locals.filter((local) => local.runId !== handle.id)
    }
    if (handle.status === 'error') this.#unjoinable = handle.id
    // Brings the stored messages, and the other tab's run when the session was busy. When it fails nothing is lost: what was
    // streamed is what is stored, and the next refresh brings it.
    void this.#load().catch(() => {})
  }

  #setLocal(local: LocalRun): void {
    const known = this.#locals.some((candidate) => candidate.runId === local.runId)
    this.#locals = known
      ? this.#locals.map((candidate) => (candidate.runId === local.runId ? local : candidate))
      : [...this.#locals, local]
  }

  #report(error: unknown): void {
    this.#error = toVerbatimError(error)
    this.#publisher.publish()
  }

  #take(): ChatSnapshot {
    return {
      messages: visibleMessages(this.#stored, this.#locals),
      status: this.#status(),
      error: this.#error,
      runId: this.#active?.handle.id ?? null,
      hasOlder: this.#olderCursor !== null,
    }
  }

  #status(): ChatStatus {
    const status = this.#active?.handle.status
    switch (status) {
      case 'queued':
        return 'starting'
      case 'starting':
      case 'streaming':
      case 'reconnecting':
        return status
      case 'connecting':
        return 'starting'
      default:
        return this.#isLoaded ? 'idle' : 'loading'
    }
  }
}

/** Cancelled while it waited: there is no message of it, and none is shown. */
function wasNeverAsked({ status, messageId }: Answer): boolean {
  return status === 'cancelled' && messageId === null
}

function isOver({ status, answer }: RunHandle): boolean {
  return isTerminalStatus(answer.status) || status === 'error' || status === 'closed'
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
