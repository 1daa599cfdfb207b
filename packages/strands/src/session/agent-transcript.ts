/**
 * One agent of a session. In: the hooks of Strands. Out: every message in the session, stored before the agent goes on, and the agent's
 * state after each invocation. The agent holds its window; the session holds everything.
 */
import { HookOrder, Message, TextBlock, ToolResultBlock } from '@strands-agents/sdk'
import type {
  AfterModelCallEvent,
  LocalAgent,
  MessageAddedEvent,
  ModelStreamUpdateEvent,
  Snapshot,
  ToolUseBlock,
} from '@strands-agents/sdk'
import { AgentId, unknownOutcome, VerbatimError } from '@verbatim/core'
import type { ContentBlock, JsonValue, Message as StoredMessage, RunMetrics } from '@verbatim/core'
import { z } from 'zod'
import { toContent } from '../content/from-strands.ts'
import type { Intervention } from '../content/guardrail.ts'
import { toStrandsBlocks } from '../content/to-strands.ts'
import { toCount } from '../run/model-call.ts'
import { toStopReason } from '../run/stop-reason.ts'
import { PartialAnswer } from './partial-answer.ts'
import type { NewMessage, SessionWriter } from './session-writer.ts'
import { ToolStatistics } from './tool-statistics.ts'
import { firstSeqOf, fromWindow, messageIdOf, toPlaced, toWindow, Window } from './window.ts'
import type { Placed } from './window.ts'

/** After the hooks of Strands and of the application: what they have changed is what is stored. */
export const last = { order: HookOrder.SDK_LAST + 1 } as const

const StoredState = z.object({
  /** Seq of the newest message that the agent had stored. */
  head: z.int().nonnegative(),
  window: Window,
  snapshot: z.unknown().optional(),
})

const pageSize = 100

export class AgentTranscript {
  readonly tools = new ToolStatistics()
  readonly #agent: LocalAgent
  readonly #writer: SessionWriter
  readonly #partial = new PartialAnswer()
  /** The stored messages that the agent holds, by tracking id. */
  #placed = new Map<string, Placed>()
  /** Messages that the agent holds and that are to be stored before the next one. */
  #unstored: Message[] = []
  #revision = 0
  #stopReason: string | null = null
  #intervention: Intervention | undefined

  /** @throws VerbatimError `INVALID_CONFIGURATION` for an agent whose id is none of ours */
  constructor(agent: LocalAgent, writer: SessionWriter) {
    if (!AgentId.safeParse(agent.id).success) {
      throw new VerbatimError('INVALID_CONFIGURATION', 'StrandsSession: agent id: use 1 to 64 letters, digits or . _ -')
    }
    this.#agent = agent
    this.#writer = writer
  }

  /** Gives the agent what is stored of it. Writes nothing. Answers whether there was something. */
  async restore(): Promise<boolean> {
    const agent = this.#agent
    const { session } = this.#writer
    const [state, newest] = await Promise.all([
      session.readState(this.#stateName),
      session.listMessages({ order: 'newest', limit: pageSize }),
    ])
    this.#writer.noteHead(newest.items[0]?.seq ?? 0)
    this.#revision = state?.revision ?? 0
    const { head, window, snapshot } = StoredState.parse(state?.state ?? { head: 0, window: [] })
    const from = Math.min(firstSeqOf(window) ?? head + 1, head + 1)
    const own = (await this.#readFrom(from, newest)).filter(({ agentId }) => agentId === agent.id)
    // What was stored after the state is of an invocation that did not end.
    const after = own.filter(({ seq, status }) => seq > head && status !== 'failed')
    const held = [...(await fromWindow(window, own)), ...(await Promise.all(after.map(toPlaced)))]
    if (state === null && held.length === 0) {
      this.#unstored = [...agent.messages]
      return false
    }
    if (snapshot !== undefined) agent.loadSnapshot(snapshot as Snapshot) // written by save()
    this.#hold(held, snapshot)
    return true
  }

  #hold(held: readonly (Placed | { readonly message: Message })[], snapshot: unknown): void {
    const { messages, model } = this.#agent
    this.#placed = new Map(held.flatMap((one) => ('seq' in one ? [[one.message.trackingId, one]] : [])))
    this.#unstored = []
    messages.length = 0
    // A model that keeps the conversation itself receives none.
    if (model.stateful) return
    messages.push(...held.map(({ message }) => message))
    this.#closeCalls(snapshot)
  }

  /** A call of a tool whose process was lost has no result, and a model takes no call without one. */
  #closeCalls(snapshot: unknown): void {
    const { messages } = this.#agent
    const open = messages.at(-1)
    const calls = open?.content.filter((block): block is ToolUseBlock => block.type === 'toolUseBlock') ?? []
    if (open === undefined || open.role === 'user' || calls.length === 0) return
    // Strands itself goes on with a call that waits for the answer of a person.
    if (JSON.stringify(snapshot ?? null).includes(open.trackingId)) return void messages.pop()
    const content = calls.map(
      ({ toolUseId }) => new ToolResultBlock({ toolUseId, status: 'error', content: [new TextBlock(unknownOutcome)] }),
    )
    const results = new Message({ role: 'user', content })
    messages.push(results)
    this.#unstored.push(results)
  }

  /** The messages of the session from a seq on, oldest first; without a state, the newest page is all that a window begins with. */
  async #readFrom(
    from: number,
    newest: { items: readonly StoredMessage[]; nextCursor: string | null },
  ): Promise<StoredMessage[]> {
    const read = [...newest.items]
    let cursor = newest.nextCursor
    while (this.#revision > 0 && cursor !== null && (read.at(-1)?.seq ?? 0) > from) {
      const page = await this.#writer.session.listMessages({ order: 'newest', limit: pageSize, cursor })
      read.push(...page.items)
      cursor = page.nextCursor
    }
    return read.toReversed()
  }

  beginCall(): void {
    this.#partial.reset()
  }

  addToCall({ event }: ModelStreamUpdateEvent): void {
    this.#partial.add(event)
  }

  /** A call of the model has ended: what a guardrail took away goes from the session too, at once. */
  async endCall({ stopData, error, retry }: AfterModelCallEvent): Promise<void> {
    if (stopData === undefined) {
      if (error !== undefined && retry !== true && !this.#agent.cancelSignal.aborted) await this.#storePartial('failed')
      return
    }
    this.#stopReason = toStopReason(stopData.stopReason)
    this.#intervention = this.#partial.intervention
    this.#partial.reset()
    const prompt = this.#agent.messages.at(-1)
    if (stopData.redaction === undefined || prompt?.role !== 'user') return
    const stored = this.#placed.get(prompt.trackingId)
    if (stored === undefined) return
    await this.#redact(messageIdOf(prompt), toContent(prompt.content))
    this.#placed.set(prompt.trackingId, { seq: stored.seq, message: prompt })
  }

  /** Stores a message that the agent has, once. A call of a tool comes here before the tool runs. */
  async store(message: Message): Promise<void> {
    const stored = this.#placed.get(message.trackingId)
    if (stored === undefined && !this.#unstored.includes(message)) this.#unstored.push(message)
    await this.#storeAll()
    if (stored === undefined) return
    // Strands may go on with a message that is stored: the rest of it is stored beside it.
    const rest = message.content.slice(stored.message.content.length)
    if (rest.length === 0) return
    await this.#write({ messageId: crypto.randomUUID(), role: message.role, content: toContent(rest) })
  }

  /** In order: one that could not be stored is stored before the next one. */
  async #storeAll(): Promise<void> {
    for (let next = this.#unstored[0]; next !== undefined; next = this.#unstored[0]) {
      await this.#append(next)
      this.#unstored.shift()
    }
  }

  /** A message was added to the agent's. Of a cancelled call, what was said takes the place of Strands' own words. */
  async add({ message }: MessageAddedEvent): Promise<void> {
    const isCancelled = message.role === 'assistant' && this.#agent.cancelSignal.aborted
    if (!isCancelled || this.#placed.has(message.trackingId) || hasCalls(message)) return await this.store(message)
    await this.#storePartial('cancelled', message)
  }

  /**
   * After an invocation, however it ended. A state never says more than the session has.
   *
   * @throws VerbatimError `HEAD_MOVED`, `STATE_MOVED` when another writer was first
   */
  async save(): Promise<void> {
    const { messages } = this.#agent
    await this.#storeAll()
    // The caller has left the stream in the middle of an answer.
    if (messages.at(-1)?.role === 'user') await this.#storePartial('cancelled')
    const held = new Set(messages.map(({ trackingId }) => trackingId))
    this.#placed = new Map([...this.#placed].filter(([id]) => held.has(id)))
    const snapshot = this.#agent.takeSnapshot({ preset: 'session', exclude: ['messages', 'systemPrompt'] })
    const window = toWindow(messages, this.#placed)
    const state: JsonValue = JSON.parse(JSON.stringify({ head: this.#writer.head, window, snapshot }))
    const write = { state, expectedRevision: this.#revision }
    const { revision } = await this.#writer.session.writeState(this.#stateName, write)
    this.#revision = revision
  }

  get #stateName(): string {
    return `strands/agent/${this.#agent.id}`
  }

  /** @param cancelled what Strands has put into the agent's messages in the answer's place */
  async #storePartial(status: 'failed' | 'cancelled', cancelled?: Message): Promise<void> {
    const said = this.#partial.content
    this.#partial.reset()
    if (said.length === 0 && cancelled === undefined) return
    const content = said.length === 0 && cancelled !== undefined ? toContent(cancelled.content) : said
    const blocks = await toStrandsBlocks(content, { read: () => Promise.resolve(undefined), keepsThinking: true })
    const id = cancelled === undefined ? {} : { trackingId: cancelled.trackingId }
    const message = new Message({ role: 'assistant', content: blocks, ...id })
    const { seq } = await this.#write({ messageId: messageIdOf(message), role: 'assistant', content, status })
    if (status === 'failed') return // Strands leaves the prompt open, and so does the window
    const { messages } = this.#agent
    if (cancelled === undefined) messages.push(message)
    else messages[messages.lastIndexOf(cancelled)] = message
    this.#placed.set(message.trackingId, { seq, message })
  }

  async #append(message: Message): Promise<void> {
    const messageId = messageIdOf(message)
    const metrics = message.role === 'assistant' ? this.#metricsOf(message) : undefined
    const content = toContent(message.content)
    const { seq } = await this.#write({ messageId, role: message.role, content, metrics })
    this.#placed.set(message.trackingId, { seq, message })
    if (message.role === 'assistant' && this.#intervention !== undefined) await this.#redact(messageId, content)
  }

  async #write(message: Omit<NewMessage, 'agentId'>): Promise<StoredMessage> {
    return await this.#writer.append({ ...message, agentId: this.#agent.id })
  }

  /** The words of a guardrail are stored already, or are in `content`: the row of the audit comes with them. */
  async #redact(messageId: string, content: readonly ContentBlock[]): Promise<void> {
    const { action = 'blocked', reasons = [] } = this.#intervention ?? {}
    this.#intervention = undefined
    await this.#writer.session.redactMessage(messageId, {
      content,
      reasons: [`guardrail ${action}`, ...reasons].slice(0, 32),
    })
  }

  #metricsOf({ metadata }: Message): Partial<RunMetrics> | undefined {
    const tools = this.tools.take()
    if (metadata?.usage === undefined && metadata?.metrics === undefined && tools.length === 0) return undefined
    const { usage, metrics } = metadata ?? {}
    return {
      latencyMs: Math.max(0, metrics?.latencyMs ?? 0),
      timeToFirstTokenMs: metrics?.timeToFirstByteMs ?? null,
      inputTokens: toCount(usage?.inputTokens),
      outputTokens: toCount(usage?.outputTokens),
      totalTokens: toCount(usage?.totalTokens),
      cacheReadInputTokens: toCount(usage?.cacheReadInputTokens),
      cacheWriteInputTokens: toCount(usage?.cacheWriteInputTokens),
      cycles: 1,
      tools,
      model: this.#agent.model.modelId ?? null,
      stopReason: this.#stopReason,
    }
  }
}

function hasCalls({ content }: Message): boolean {
  return content.some(({ type }) => type === 'toolUseBlock')
}
