/** A session as the engine keeps it, without its database: what agents are given, and what is stored of what they say. */
import { continuationPrompt, emptyAnswer, isVerbatimError, reduceEvents, unknownOutcome } from '@verbatim/core'
import type { AgentEvent, ContentBlock, Message } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import { agentRequest } from '@verbatim/core/testing'

/** How a run is stopped after some of its events: by its user, or with its process. */
export interface Stop {
  readonly after: number
  readonly how: 'cancel' | 'crash'
}

export interface Outcome {
  readonly events: readonly AgentEvent[]
  readonly error: unknown
}

export class Session {
  readonly messages: Message[] = []

  /** A prompt and its answer. */
  async prompt(agent: Agent, prompt: readonly ContentBlock[], stop?: Stop): Promise<Outcome> {
    const runId = crypto.randomUUID()
    this.#store('user', prompt, { runId })
    return await this.#answer(agent, { runId }, stop)
  }

  /** Another answer to the newest prompt, in place of one that is not whole. */
  async retry(agent: Agent): Promise<Outcome | undefined> {
    const last = this.messages.at(-1)
    if (last?.role !== 'assistant' || last.runId === null || last.status === 'completed') return undefined
    return await this.#answer(agent, { runId: crypto.randomUUID(), retryOf: last.runId })
  }

  append(role: Message['role'], content: readonly ContentBlock[]): void {
    this.#store(role, content, {})
  }

  async #answer(agent: Agent, ids: Partial<Message> & { runId: string }, stop?: Stop): Promise<Outcome> {
    const outcome = await this.#run(agent, ids, stop)
    const isLost = stop?.how === 'crash' && outcome.isStopped
    const events = isLost ? [...outcome.events, ...unknownResults(outcome.events)] : outcome.events
    const { content } = reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] })
    const metrics = metricsOf(events)
    const status = isLost ? 'interrupted' : statusOf(outcome, metrics?.stopReason)
    this.#store('assistant', content, { ...ids, status, metrics })
    if (!isLost) return outcome
    const next = { runId: crypto.randomUUID(), continuationOf: ids.runId }
    this.#store('user', [{ type: 'text', text: continuationPrompt }], next)
    return await this.#answer(agent, next)
  }

  async #run(agent: Agent, { runId, retryOf }: { runId: string; retryOf?: string | null }, stop?: Stop) {
    const stopping = new AbortController()
    const events: AgentEvent[] = []
    const request = agentRequest({ runId, ...this.#windowOf(agent, retryOf) })
    try {
      for await (const event of agent.stream(request, stopping.signal)) {
        if (event.type === 'ping') continue
        events.push(event)
        if (events.length === stop?.after) stopping.abort(stop)
      }
      return { events, error: undefined, isStopped: false }
    } catch (error) {
      if (!isVerbatimError(error) && error !== stop) throw error
      return { events, error, isStopped: error === stop }
    }
  }

  /** As load-history.ts does it. */
  #windowOf({ maxHistoryMessages = 40 }: Agent, retryOf: string | null | undefined) {
    const prompt = this.messages.findLastIndex(({ role }) => role === 'user')
    const all = typeof retryOf === 'string' ? this.messages.slice(0, prompt + 1) : this.messages
    const window = all.slice(-maxHistoryMessages)
    const retried = new Set(window.map((message) => message.retryOf))
    const kept = window.filter(({ role, runId }) => role === 'user' || runId === null || !retried.has(runId))
    return { messages: withoutRefused(kept), hasOlder: window.length < all.length }
  }

  #store(role: Message['role'], content: readonly ContentBlock[], more: Partial<Message>): void {
    this.messages.push({
      id: crypto.randomUUID(),
      sessionId: 'session-1',
      seq: this.messages.length + 1,
      role,
      content: structuredClone([...content]),
      status: 'completed',
      agentId: null,
      runId: null,
      continuationOf: null,
      retryOf: null,
      output: null,
      data: [],
      metrics: null,
      createdAt: '2026-11-28T00:00:00.000Z',
      ...more,
    })
  }
}

/** As drive-run.ts tells it. */
function statusOf({ isStopped, error }: { isStopped: boolean; error: unknown }, stopReason?: string | null) {
  if (isStopped) return 'cancelled'
  if (error !== undefined) return 'failed'
  return stopReason === 'refusal' ? 'refused' : 'completed'
}

/** The messages without the runs of the turns that a model refused. */
function withoutRefused(messages: readonly Message[]): Message[] {
  const begins = ({ role, continuationOf }: Message) => role === 'user' && continuationOf === null
  const turnAt = (at: number) => messages.slice(0, at + 1).filter(begins).length
  const refused = new Set(messages.flatMap(({ status }, at) => (status === 'refused' ? [turnAt(at)] : [])))
  return messages.filter(({ runId }, at) => runId === null || !refused.has(turnAt(at)))
}

function metricsOf(events: readonly AgentEvent[]): Message['metrics'] {
  const reasons = events.flatMap((event) => (event.type === 'message_delta' ? [event.delta.stop_reason] : []))
  const counts = { inputTokens: 0, outputTokens: 0, totalTokens: 0, cacheReadInputTokens: 0, cacheWriteInputTokens: 0 }
  const stopReason = reasons.findLast((reason) => reason !== null) ?? null
  return { latencyMs: 0, timeToFirstTokenMs: null, ...counts, cycles: 0, tools: [], model: null, stopReason }
}

/** As replay-run.ts does it: calls whose model call ended and that have no result may have run. */
function unknownResults(events: readonly AgentEvent[]): AgentEvent[] {
  let asked: string[] = []
  const open: string[] = []
  for (const event of events) {
    if (event.type === 'message_start') asked = []
    if (event.type === 'content_block_start' && event.content_block.type === 'tool_use')
      asked.push(event.content_block.id)
    if (event.type === 'message_stop') open.push(...asked)
    if (event.type === 'tool_result') open.splice(open.indexOf(event.tool_use_id), 1)
  }
  return open.map((tool_use_id) => ({
    type: 'tool_result',
    tool_use_id,
    content: unknownOutcome,
    is_error: true,
    durationMs: 0,
  }))
}
