/**
 * What a chat shows. In: the stored messages and the runs this page knows more about than its last page of messages.
 * Out: one list without doubles, in which a message keeps its key from the first keystroke's echo to the stored one.
 */
import { partialOutputOf, toPromptBlocks, withoutReplaced } from '@verbatim/core'
import type {
  AgentIdOf,
  AgentMap,
  Answer,
  AnyAgents,
  ContentBlock,
  DataPart,
  DataPartOf,
  JsonValue,
  Message,
  MessageStatus,
  PartialOutput,
  PromptInput,
  RunMetrics,
} from '@verbatim/core'

/**
 * A message on the screen: stored, or on its way there. `TAgents` are the server's agents: the compiler then knows by `agentId` what
 * `output` is.
 */
export type ChatMessage<TAgents extends AgentMap = AnyAgents> =
  string extends AgentIdOf<TAgents>
    ? AnyMessage
    : Omit<AnyMessage, keyof AnswerFields<AnyAgents, string>> &
        (
          | {
              readonly agentId: null
              readonly data: readonly DataPart[]
              readonly output: null
              readonly partialOutput: null
            }
          | { [TId in AgentIdOf<TAgents>]: AnswerFields<TAgents, TId> }[AgentIdOf<TAgents>]
        )

interface AnswerFields<TAgents extends AgentMap, TId extends AgentIdOf<TAgents>> {
  readonly agentId: TId
  readonly data: readonly DataPartOf<TAgents[TId]['data']>[]
  readonly output: TAgents[TId]['output'] | null
  readonly partialOutput: PartialOutput<TAgents[TId]['output']> | null
}

interface AnyMessage {
  /** The same before and after the message is stored; for React's `key`. */
  readonly key: string
  /** Null until the server has stored or announced the message. */
  readonly id: string | null
  readonly role: 'user' | 'assistant'
  readonly content: readonly ContentBlock[]
  /** On answers: what the agent and its tools emitted so far, the newest of each name and id. */
  readonly data: readonly DataPart[]
  /** `sending`: a prompt not confirmed yet; `queued`: one that waits for its turn; `streaming`: an answer being made. */
  readonly status: MessageStatus | 'sending' | 'queued' | 'streaming'
  readonly agentId: string | null
  readonly runId: string | null
  /** The checked output of an agent with an output schema; null until the run has completed. */
  readonly output: JsonValue | null
  /** What is there of it: unchecked until `output` is there, and null for an answer in prose. */
  readonly partialOutput: JsonValue | null
  /**
   * The interrupted run from which this one goes on. With it, a user message was written by the server, not by a person: fold it. An
   * answer is the rest of the one before. An answer that reached its greatest length and went on is one message here.
   */
  readonly continuationOf: string | null
  /** On stored answers, the run whose answer this one replaces. */
  readonly retryOf: string | null
  /** On finished answers. */
  readonly metrics: RunMetrics | null
  /** Null until stored. */
  readonly createdAt: string | null
}

/** What this page knows of a run from its start. */
export interface RunOrigin {
  /** The run whose answer this one replaces. */
  readonly retryOf: string | null
  /** The run whose answer goes on here; null when it is not known, as its user message says it too. */
  readonly continuationOf: string | null
  /** Null when another page sent it; then its user message is among the stored ones. */
  readonly prompt: PromptInput | null
}

export const unknownOrigin: RunOrigin = { prompt: null, retryOf: null, continuationOf: null }

/** A run of this session that the loaded messages may not have in full. */
export interface LocalRun extends RunOrigin {
  readonly runId: string
  readonly isStarted: boolean
  readonly answer: Answer
}

/** `held` and `page`, by id, in the order of the session. */
export function mergeMessages(held: readonly Message[], page: readonly Message[]): Message[] {
  const byId = new Map(held.map((message) => [message.id, message]))
  for (const message of page) byId.set(message.id, message)
  return [...byId.values()].toSorted((a, b) => a.seq - b.seq)
}

/** True when messages are missing between what is held and a page of the newest. */
export function hasGap(held: readonly Message[], page: readonly Message[]): boolean {
  const newestHeld = held.at(-1)?.seq
  const oldestNew = page.reduce((seq, message) => Math.min(seq, message.seq), Number.POSITIVE_INFINITY)
  return newestHeld !== undefined && oldestNew !== Number.POSITIVE_INFINITY && oldestNew > newestHeld + 1
}

/** True when the stored messages have the answer of this run. */
export function hasAnswer(stored: readonly Message[], runId: string): boolean {
  return stored.some((message) => message.role === 'assistant' && message.runId === runId)
}

/** The run of the newest message when that is a prompt without an answer. */
export function unansweredRun(stored: readonly Message[]): string | undefined {
  const newest = stored.at(-1)
  return newest?.role === 'user' ? (newest.runId ?? undefined) : undefined
}

/** The run that began the newest answer, also where others continued it; undefined when the newest message is no answer of a run. */
export function runOfNewestAnswer(messages: readonly ChatMessage[]): string | undefined {
  const newest = messages.at(-1)
  if (newest?.role !== 'assistant' || newest.runId === null) return undefined
  let { runId, continuationOf } = newest
  while (continuationOf !== null) {
    runId = continuationOf
    const before = messages.find((message) => message.role === 'assistant' && message.runId === continuationOf)
    continuationOf = before?.continuationOf ?? null
  }
  return runId
}

/** The run of the newest answer when that reached its greatest length. */
export function runWithRest(messages: readonly ChatMessage[]): string | undefined {
  const { role, status, metrics, runId } = messages.at(-1) ?? {}
  const hasRest = role === 'assistant' && status === 'completed' && metrics?.stopReason === 'max_tokens'
  return hasRest ? (runId ?? undefined) : undefined
}

/** `locals` with what is now known of one run. */
export function withLocal(locals: readonly LocalRun[], local: LocalRun): LocalRun[] {
  const isKnown = locals.some(({ runId }) => runId === local.runId)
  return isKnown ? locals.map((known) => (known.runId === local.runId ? local : known)) : [...locals, local]
}

/** All messages that count, oldest first. An answer that was made again gives way to the new one, which is stored after it. */
export function standingMessages(stored: readonly Message[], locals: readonly LocalRun[]): ChatMessage[] {
  const shown = withoutReplaced(stored, locals).map(toChatMessage)
  const keys = new Set(shown.map((message) => message.key))
  const isNew = (message: ChatMessage) => !keys.has(message.key)
  const ordered = locals.toSorted((a, b) => Number(waits(a)) - Number(waits(b)))
  const continued = new Map(stored.map(({ runId, continuationOf }) => [runId, continuationOf]))
  const linked = ordered.map((local) => ({
    ...local,
    continuationOf: local.continuationOf ?? continued.get(local.runId) ?? null,
  }))
  return [...shown, ...linked.flatMap((local) => messagesOf(local).filter(isNew))]
}

/** It has no answer yet, so it comes after the answer being made. */
function waits({ answer }: LocalRun): boolean {
  return answer.lastSeq === 0 || answer.status === 'queued'
}

/** Kept per stored message, so that a list that is drawn again is made of the same objects. */
const chatMessages = new WeakMap<Message, ChatMessage>()

function toChatMessage(message: Message): ChatMessage {
  const known = chatMessages.get(message)
  if (known !== undefined) return known
  const { id, role, content, status, agentId, runId, continuationOf, retryOf, metrics, createdAt } = message
  const { output = null, data = [] } = message as Partial<Message> // an older server does not send them
  const key = runId === null ? id : keyOf(runId, role)
  const partialOutput = role === 'assistant' ? partialOf({ content, cycleStart: 0, output }) : null
  const outputs = { output, partialOutput }
  const made = {
    key,
    id,
    role,
    content,
    data,
    status,
    agentId,
    runId,
    ...outputs,
    continuationOf,
    retryOf,
    metrics,
    createdAt,
  }
  chatMessages.set(message, made)
  return made
}

function keyOf(runId: string, role: 'user' | 'assistant'): string {
  return `${runId}:${role}`
}

function partialOf(answer: Pick<Answer, 'content' | 'cycleStart' | 'output'>): JsonValue | null {
  return partialOutputOf(answer) ?? null
}

function messagesOf({ runId, retryOf, continuationOf, prompt, isStarted, answer }: LocalRun): ChatMessage[] {
  const noOutput = { output: null, partialOutput: null }
  const base = { agentId: null, runId, ...noOutput, continuationOf, retryOf, createdAt: null }
  const messages: ChatMessage[] = []
  if (prompt !== null) {
    const content = toPromptBlocks(prompt)
    const status = !isStarted ? 'sending' : answer.status === 'queued' ? 'queued' : 'completed'
    messages.push({
      ...base,
      key: keyOf(runId, 'user'),
      id: null,
      role: 'user',
      content,
      data: [],
      status,
      metrics: null,
    })
  }
  if (answer.lastSeq > 0 && answer.status !== 'queued') {
    const { messageId: id, agentId, content, data, output, metrics } = answer
    const status = answer.status === 'running' ? 'streaming' : answer.status
    const said = { agentId, content, data, output, partialOutput: partialOf(answer), status, metrics } as const
    messages.push({ ...base, key: keyOf(runId, 'assistant'), id, role: 'assistant', ...said })
  }
  return messages
}
