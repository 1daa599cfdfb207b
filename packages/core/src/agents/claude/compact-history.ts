/**
 * A conversation that has come near to what a request holds is summarized by the provider, before the first call of a run.
 * In: the history of the run. Out: the events of the call that made the summary, which keep it in the answer of the run. A
 * conversation without a summary is better than none: what goes wrong here ends nothing.
 */
import { z } from 'zod'
import { JsonValue } from '../../contract/json-value.ts'
import type { CompactionBlock } from '../../contract/content-block.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { AgentEvent, ProviderUsage } from '../../contract/event.ts'
import type { AgentPing } from '../../ports/agent.ts'
import type { AgentTrace } from '../../ports/telemetry.ts'
import type { ClaudeAgent } from './answer-request.ts'
import type { Conversation } from './claude-message.ts'
import type { Compactable, History } from './history.ts'
import { TooLongError } from './map-provider-error.ts'
import { readFrames } from './read-frames.ts'
import { toCompactionRequest } from './to-claude-request.ts'
import type { ClaudeRequest, RequestRules } from './to-claude-request.ts'
import { factsOf } from './trace-facts.ts'

/** Whether an agent asks for summaries still, one for all its runs. */
export interface CompactionSwitch {
  mayTry(): boolean
  /** A summary failed: asking again at every prompt would double its price. */
  rest(): void
  /** The provider does not make summaries. */
  turnOff(): void
}

/** Conversations that are full and not summarized after one that failed. */
const restCount = 8

export function createCompactionSwitch(isWanted: boolean): CompactionSwitch {
  let pause = isWanted ? 0 : Infinity
  return {
    mayTry: () => pause-- <= 0,
    rest: () => (pause = restCount),
    turnOff: () => (pause = Infinity),
  }
}

export interface CompactedRun {
  readonly history: History
  readonly toRules: (old: Conversation) => Promise<RequestRules>
  readonly runId: string
  readonly trace: AgentTrace | undefined
}

export async function* compactHistory(
  agent: ClaudeAgent,
  { history, toRules, runId, trace }: CompactedRun,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  const { budget, compactions, logger } = agent
  const old = history.toCompact(budget.maxBytes())
  if (old === undefined || !compactions.mayTry()) return
  let bytes = 0
  try {
    const request = toCompactionRequest(agent, old, await toRules(old))
    bytes = request.weight
    const call = () => summarize(agent, { request, old, history }, signal)
    const { sent, stopReason } = yield* trace?.modelCall(factsOf(request, signal), call) ?? call()
    if (sent !== undefined) return
    compactions.rest()
    logger.warn({ runId, stopReason }, 'The provider made no summary of a conversation')
  } catch (error) {
    signal.throwIfAborted()
    if (!isVerbatimError(error)) throw error
    if (error instanceof TooLongError) budget.learnTooLong(bytes, error)
    const isFinal = error.code === 'PROVIDER_REFUSED' && !(error instanceof TooLongError)
    if (isFinal) compactions.turnOff()
    else compactions.rest()
    logger.warn({ runId, kind: error.data.kind }, 'A conversation was not summarized by the provider')
  }
}

/** The call that makes the summary, and its events when there is one. */
async function* summarize(
  agent: ClaudeAgent,
  { request, old, history }: { request: ClaudeRequest; old: Compactable; history: History },
  signal: AbortSignal,
): AsyncGenerator<AgentEvent | AgentPing, SummaryCall & { sent: JsonValue | undefined }, void> {
  const summary = yield* readSummary(agent, request, signal)
  const { sent, ...call } = summary
  if (sent === undefined) return summary
  const block = { type: 'compaction' as const, sent, coversSeq: old.coversSeq, boundTo: request.compactionBoundTo }
  history.compact(block)
  yield* toEvents(block, call)
  return summary
}

interface SummaryCall {
  readonly model: string
  readonly usage: ProviderUsage
  readonly stopReason: string | null
}

const tokens = z.int().nonnegative().optional().catch(undefined)
const Counts = z.object({
  input_tokens: tokens,
  output_tokens: tokens,
  cache_read_input_tokens: tokens,
  cache_creation_input_tokens: tokens,
})
const Usage = z.object({ iterations: z.array(Counts).catch([]) }).catch({ iterations: [] })
const Summary = JsonValue.and(z.looseObject({ type: z.literal('compaction'), content: z.string().min(1) }))
const text = z.string().nullish().catch(null)
const Frame = z.object({
  type: z.string(),
  message: z
    .object({ model: text, content: z.array(z.unknown()).catch([]) })
    .optional()
    .catch(undefined),
  content_block: z.unknown().optional(),
  delta: z.object({ stop_reason: text }).optional().catch(undefined),
  usage: Usage.optional(),
})

/** The block comes whole, in one frame. Without one there is no summary, whatever the status says. */
async function* readSummary(
  agent: ClaudeAgent,
  request: ClaudeRequest,
  signal: AbortSignal,
): AsyncGenerator<AgentPing, SummaryCall & { sent: JsonValue | undefined }, void> {
  let model = request.body.model
  let sent: JsonValue | undefined
  let stopReason: string | null = null
  let usage: ProviderUsage = {}
  for await (const raw of readFrames(agent, request, signal)) {
    const frame = Frame.safeParse(raw).data
    if (frame?.type === 'ping') yield { type: 'ping' }
    model = frame?.message?.model ?? model
    for (const block of [frame?.content_block, ...(frame?.message?.content ?? [])]) {
      sent = Summary.safeParse(block).data ?? sent
    }
    stopReason = frame?.delta?.stop_reason ?? stopReason
    usage = frame?.usage === undefined ? usage : sumOf(frame.usage.iterations)
    if (frame?.type === 'message_stop') break
  }
  return { model, usage, stopReason, sent: stopReason === 'compaction' ? sent : undefined }
}

/** No answer was made, so the counts of the call itself are zero. */
function sumOf(iterations: readonly z.infer<typeof Counts>[]): ProviderUsage {
  const sum = (name: keyof ProviderUsage) => iterations.reduce((total, counts) => total + (counts[name] ?? 0), 0)
  return {
    input_tokens: sum('input_tokens'),
    output_tokens: sum('output_tokens'),
    cache_read_input_tokens: sum('cache_read_input_tokens'),
    cache_creation_input_tokens: sum('cache_creation_input_tokens'),
  }
}

function toEvents(content_block: CompactionBlock, { model, usage }: SummaryCall): AgentEvent[] {
  return [
    { type: 'message_start', message: { model, usage } },
    { type: 'content_block_start', index: 0, content_block },
    { type: 'content_block_stop', index: 0 },
    { type: 'message_delta', delta: { stop_reason: 'compaction', stop_sequence: null }, usage },
    { type: 'message_stop' },
  ]
}
