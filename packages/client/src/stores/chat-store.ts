/**
 * One session on a screen. In: the stored messages and the run being made, if any. Out: snapshots of one list of messages.
 * Loading finds the run that is being made and joins it, which is how a reload in mid-answer goes on (promise P2); the streamed
 * answer is then the stored one (promise P4), so putting the one in the other's place shows nothing.
 */
import { isTerminalStatus, isTransient, VerbatimError } from '@verbatim/core'
import type { AgentMap, Answer, Message, Page, PromptInput, RunHandle } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'
import { retryCall } from '../transport/reconnect.ts'
import { toVerbatimError } from '../transport/to-error.ts'
import { onWakeUp } from '../transport/wait.ts'
import { initialChat, toChatStatus } from './chat-snapshot.ts'
import type { ChatSendOptions, ChatSnapshot, ChatStore } from './chat-snapshot.ts'
import {
  hasAnswer,
  hasGap,
  mergeMessages,
  runOfNewestAnswer,
  runWithRest,
  standingMessages,
  unansweredRun,
  unknownOrigin,
  withLocal,
} from './chat-messages.ts'
import type { ChatMessage, LocalRun, RunOrigin } from './chat-messages.ts'
import { visibleMessages } from './join-parts.ts'
import { LiveSession, loadRetry } from './live-session.ts'
import { createPublisher } from './publisher.ts'
import type { Publisher } from './publisher.ts'
import { acquireRun, sharedStores } from './shared.ts'
import type { AcquiredRun } from './shared.ts'

/** The store of a session. All who watch the same session with the same client share one store and one connection. */
export function chatStore<TAgents extends AgentMap>(
  client: VerbatimClient<TAgents>,
  sessionId: string,
): ChatStore<TAgents> {
  // Which agents there are is a type alone: the store is the same for all.
  return chats(client as object as VerbatimClient, sessionId) as object as ChatStore<TAgents>
}

const chats = sharedStores((client, sessionId) => new SessionChat(client, sessionId))

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
  readonly #live: LiveSession
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
    this.#live = new LiveSession(client, sessionId)
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

  readonly send = async (prompt: PromptInput, options: ChatSendOptions = {}): Promise<boolean> => {
    // Whether the session is busy only the server knows: the end of a run that was stopped may still be on its way here.
    const handle = this.#client.chat(this.#sessionId).send(prompt, options)
    return await this.#begin(handle, { ...unknownOrigin, prompt })
  }

  async #begin(handle: RunHandle, origin: RunOrigin): Promise<boolean> {
    this.#error = null
    this.#unjoinable = undefined
    this.#live.isNew = false
    this.#follow(
      acquireRun(this.#client, handle.id, () => handle),
      origin,
    )
    this.#publisher.publishNow()
    return await handle.started.then(
      () => true,
      () => false, // the handle's end reports why
    )
  }

  readonly stop = async (): Promise<void> => {
    await this.#active?.handle.cancel().catch((error: unknown) => this.#report(error))
  }

  readonly regenerate = async (): Promise<boolean> => await this.#repeat(runOfNewestAnswer(this.#standing))

  readonly retry = async (): Promise<boolean> => {
    const newest = this.#standing.at(-1)
    const isOpen = newest?.role === 'assistant' && newest.status !== 'completed'
    return isOpen ? await this.#repeat(newest.runId ?? undefined) : false
  }

  async #repeat(runId: string | undefined): Promise<boolean> {
    if (runId === undefined) return false
    return await this.#begin(this.#client.runs.retry(runId), { ...unknownOrigin, retryOf: runId })
  }

  readonly continueAnswer = async (): Promise<boolean> => {
    const runId = runWithRest(this.#standing)
    if (runId === undefined) return false
    return await this.#begin(this.#client.runs.continue(runId), { ...unknownOrigin, continuationOf: runId })
  }

  /** All messages, each as its run made it. */
  get #standing(): ChatMessage[] {
    return standingMessages(this.#stored, this.#locals)
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
      this.#forgetOutage()
    } catch (error) {
      this.#report(error)
    }
  }

  readonly seed = (messages: readonly Message[]): void => {
    if (this.#isLoaded || this.#stored.length > 0) return
    this.#stored = mergeMessages([], messages)
    this.#publisher.publishNow()
  }

  readonly expectNew = (): void => {
    if (!this.#isLoaded && this.#locals.length === 0) this.#live.isNew = true
  }

  #attach(): void {
    this.#watching = new AbortController()
    const { signal } = this.#watching
    const stopListening = onWakeUp(() => {
      if (this.#active === undefined) void this.refresh()
    })
    signal.addEventListener('abort', stopListening, { once: true })
    void this.#live.watch(signal, {
      onState: () => this.#meetState(),
      onDeleted: () => this.#report(new VerbatimError('SESSION_DELETED', 'The session was deleted')),
    })
    void retryCall(async () => await this.#firstLoad(), { retry: loadRetry, signal }).catch(() => {}) // #firstLoad has reported
  }

  /** Loads what the session has and this page does not. */
  #meetState(): void {
    const session = this.#isLoaded ? this.#live.takeNews() : undefined
    this.#publisher.publish()
    if (session === undefined) return
    const { activeRunId, messageCount } = session
    const isBehind =
      activeRunId === null
        ? this.#runs.length === 0 && messageCount > (this.#stored.at(-1)?.seq ?? 0)
        : !this.#isFollowed(activeRunId) && activeRunId !== this.#unjoinable
    if (isBehind) void this.#load().catch(() => {}) // the next state or refresh tries again
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
      this.#meetState()
    } catch (error) {
      this.#report(error)
      throw error
    }
  }

  async #load(): Promise<void> {
    const { session, page } = await this.#live.load()
    this.#takePage(page)
    const runId = session?.activeRunId ?? unansweredRun(this.#stored)
    if (runId !== undefined) this.#join(runId)
    for (const local of this.#locals) if (local.answer.status === 'queued') this.#join(local.runId)
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
    const isKnown = this.#isFollowed(runId) || runId === this.#unjoinable
    const hasEnded = hasAnswer(this.#stored, runId) || (local !== undefined && isTerminalStatus(local.answer.status))
    const isBeingMade = this.#runs.some(({ handle }) => handle.answer.status !== 'queued')
    if (isKnown || hasEnded || (isBeingMade && local?.answer.status !== 'queued')) return
    if (local !== undefined) return this.#followRun(runId, local)
    if (this.#stored.at(-1)?.role !== 'assistant') return this.#followRun(runId, unknownOrigin)
    // Its prompt is not the newest message: another page may have asked for the newest answer once more.
    void this.#client.runs.get(runId).then(
      ({ retryOf, continuationOf }) => this.#followRun(runId, { ...unknownOrigin, retryOf, continuationOf }),
      () => this.#followRun(runId, unknownOrigin),
    )
  }

  #followRun(runId: string, { answer, ...origin }: RunOrigin & { readonly answer?: Answer }): void {
    if (this.#watching?.signal.aborted !== false || this.#isFollowed(runId)) return
    const open = () => this.#client.runs.follow(runId, { answer })
    this.#follow(acquireRun(this.#client, runId, open), origin)
  }

  #isFollowed(runId: string): boolean {
    return this.#runs.some(({ handle }) => handle.segments.some((segment) => segment.runId === runId))
  }

  #follow({ handle, release }: AcquiredRun, { prompt, retryOf, continuationOf }: RunOrigin): void {
    let wasQueued = false
    let segmentCount = 1
    const update = () => {
      const isStarted = handle.status !== 'starting' && handle.status !== 'error'
      const { segments } = handle
      for (const [at, { runId, answer }] of segments.entries()) {
        if (!hasAnswer(this.#stored, runId))
          this.#locals = withLocal(this.#locals, {
            runId,
            ...(at === 0 ? { prompt, retryOf, continuationOf } : unknownOrigin),
            isStarted,
            answer,
          })
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
      // A prompt that is on its way is not given up because its page was left, and it settles here also when no page looks.
      if (handle.status === 'starting') void this.#settle(handle).finally(release)
      else release()
    }
    this.#runs = [...this.#runs, { handle, stop }]
    update()
  }

  async #settle(handle: RunHandle): Promise<void> {
    const isStarted = await handle.started.then(
      () => true,
      (error: unknown) => {
        if (handle.status !== 'closed') this.#error = toVerbatimError(error)
        return false
      },
    )
    const others = this.#locals.filter(({ runId }) => runId !== handle.id)
    const mine = this.#locals.find(({ runId }) => runId === handle.id)
    if (mine !== undefined) this.#locals = isStarted ? [...others, { ...mine, isStarted }] : others
    // A page that came back in between has loaded before the run was there.
    if (this.#watching?.signal.aborted === false) void this.#load().catch(() => {})
    this.#publisher.publish()
  }

  #finish(handle: RunHandle): void {
    const run = this.#runs.find((candidate) => candidate.handle === handle)
    if (run === undefined) return
    run.stop()
    this.#runs = this.#runs.filter((candidate) => candidate !== run)
    if (handle.status === 'closed') return
    if (handle.error === null) this.#forgetOutage()
    else this.#error = handle.error
    const wasRefused = handle.status === 'error' && handle.answer.lastSeq === 0
    if (wasRefused || wasNeverAsked(handle.answer)) {
      this.#locals = this.#locals.filter((local) => local.runId !== handle.id)
    }
    if (handle.status === 'error') this.#unjoinable = handle.id
    // Brings the stored messages, and the other tab's run when the session was busy. When it fails nothing is lost: what was
    // streamed is what is stored, and the next refresh brings it.
    void this.#load().catch(() => {})
  }

  /** The server was away and is here again. */
  #forgetOutage(): void {
    if (this.#error === null || !isTransient(this.#error)) return
    this.#error = null
    this.#publisher.publish()
  }

  #report(error: unknown): void {
    this.#error = toVerbatimError(error)
    this.#publisher.publish()
  }

  #take(): ChatSnapshot {
    return {
      // A session that was deleted is not shown, though this page still has its messages.
      messages: this.#error?.code === 'SESSION_DELETED' ? [] : visibleMessages(this.#stored, this.#locals),
      status: toChatStatus(this.#active?.handle.status, this.#isLoaded),
      error: this.#error,
      runId: this.#active?.handle.id ?? null,
      hasOlder: this.#olderCursor !== null,
      session: this.#live.newest,
      retrying: this.#active?.handle.answer.retrying ?? null,
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
