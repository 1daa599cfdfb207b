/**
 * An answer that reached its greatest length and went on is one message on a screen. In: messages, each as its run made it.
 * Out: the same, with such parts joined, and without the server's prompts between them. The seam of an interrupted answer stays.
 */
import type { ContentBlock, Message, RunMetrics, TextBlock } from '@verbatim/core'
import { standingMessages } from './chat-messages.ts'
import type { ChatMessage, LocalRun } from './chat-messages.ts'

interface Joined {
  readonly parts: readonly ChatMessage[]
  readonly whole: ChatMessage
}

/** By the first part: a list that is drawn again is made of the same objects. */
const joinedAnswers = new WeakMap<ChatMessage, Joined>()

/** What a chat shows, oldest first. */
export function visibleMessages(stored: readonly Message[], locals: readonly LocalRun[]): ChatMessage[] {
  return joinParts(standingMessages(stored, locals))
}

function joinParts(messages: readonly ChatMessage[]): ChatMessage[] {
  const shown: ChatMessage[][] = []
  const answerOf = new Map<string, ChatMessage[]>()
  for (const message of messages) {
    const { role, runId, continuationOf } = message
    const before = continuationOf === null ? undefined : answerOf.get(continuationOf)
    const goesOn = before?.at(-1)?.status === 'completed'
    if (role === 'user') {
      if (!goesOn) shown.push([message])
      continue
    }
    const parts = goesOn ? before : []
    if (!goesOn) shown.push(parts)
    parts.push(message)
    if (runId !== null) answerOf.set(runId, parts)
  }
  return shown.flatMap(toWhole)
}

function toWhole(parts: ChatMessage[]): ChatMessage[] {
  const [first] = parts
  if (first === undefined || parts.length === 1) return parts
  const known = joinedAnswers.get(first)
  const isKnown = known?.parts.length === parts.length && parts.every((part, at) => part === known.parts[at])
  const whole = isKnown ? known.whole : parts.reduce(join)
  joinedAnswers.set(first, { parts, whole })
  return [whole]
}

/** The first part's place on the screen, and the last part's state. */
function join(first: ChatMessage, rest: ChatMessage): ChatMessage {
  const { key, continuationOf, retryOf, createdAt } = first
  const data = [...first.data, ...rest.data]
  const metrics = rest.metrics && addMetrics(first.metrics, rest.metrics)
  return {
    ...rest,
    key,
    content: joinContent(first.content, rest.content),
    data,
    metrics,
    continuationOf,
    retryOf,
    createdAt,
  }
}

/** Text goes on in its block: a list, a table or code that was cut is whole again. What the model thinks first stands before that block. */
function joinContent(content: readonly ContentBlock[], rest: readonly ContentBlock[]): ContentBlock[] {
  const last = content.at(-1)
  const at = rest.findIndex(({ type }) => type !== 'thinking' && type !== 'redacted_thinking')
  const next = rest[at]
  if (last?.type !== 'text' || next?.type !== 'text') return [...content, ...rest]
  return [...content.slice(0, -1), ...rest.slice(0, at), joinText(last, next), ...rest.slice(at + 1)]
}

function joinText(first: TextBlock, rest: TextBlock): TextBlock {
  const citations = [...(first.citations ?? []), ...(rest.citations ?? [])]
  return { ...first, text: first.text + rest.text, ...(citations.length > 0 && { citations }) }
}

/** What both cost; how the last one ended. */
function addMetrics(first: RunMetrics | null, rest: RunMetrics): RunMetrics {
  if (first === null) return rest
  return {
    ...rest,
    timeToFirstTokenMs: first.timeToFirstTokenMs,
    latencyMs: first.latencyMs + rest.latencyMs,
    inputTokens: first.inputTokens + rest.inputTokens,
    outputTokens: first.outputTokens + rest.outputTokens,
    totalTokens: first.totalTokens + rest.totalTokens,
    cacheReadInputTokens: first.cacheReadInputTokens + rest.cacheReadInputTokens,
    cacheWriteInputTokens: first.cacheWriteInputTokens + rest.cacheWriteInputTokens,
    cycles: first.cycles + rest.cycles,
    tools: [...first.tools, ...rest.tools],
  }
}
