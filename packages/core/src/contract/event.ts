/**
 * The words of the run log and of the wire: Anthropic's streaming vocabulary and the run's own life cycle.
 * Everything a client shows is a pure function of a prefix of these (see reduce-events.ts).
 */
import { z } from 'zod'
import { ContentBlock, ToolResultContent } from './content-block.ts'
import { dataFields } from './data-part.ts'
import { WireError } from './errors.ts'
import { AgentId, MessageId, RunId, SessionId } from './identifiers.ts'
import { JsonValue } from './json-value.ts'
import { RunMetrics } from './metrics.ts'

const index = z.int().nonnegative()
const tokens = z.int().nonnegative()

/** Token counts as the provider reports them in `message_start` and `message_delta`. */
export const ProviderUsage = z.strictObject({
  input_tokens: tokens.optional(),
  output_tokens: tokens.optional(),
  cache_read_input_tokens: tokens.optional(),
  cache_creation_input_tokens: tokens.optional(),
})
export type ProviderUsage = z.infer<typeof ProviderUsage>

/** What a `content_block_delta` adds to its block. */
export const ContentDelta = z.discriminatedUnion('type', [
  z.strictObject({ type: z.literal('text_delta'), text: z.string() }),
  z.strictObject({ type: z.literal('input_json_delta'), partial_json: z.string() }),
  z.strictObject({ type: z.literal('thinking_delta'), thinking: z.string() }),
  z.strictObject({ type: z.literal('signature_delta'), signature: z.string() }),
  z.strictObject({ type: z.literal('citations_delta'), citation: JsonValue }),
])
export type ContentDelta = z.infer<typeof ContentDelta>

const agentEvents = [
  z.strictObject({
    type: z.literal('message_start'),
    message: z.strictObject({ model: z.string(), usage: ProviderUsage }),
  }),
  z.strictObject({ type: z.literal('content_block_start'), index, content_block: ContentBlock }),
  z.strictObject({ type: z.literal('content_block_delta'), index, delta: ContentDelta }),
  z.strictObject({ type: z.literal('content_block_stop'), index }),
  /** A whole block, as the provider sent it: no delta and no stop follows. It takes the place of what its index had before. */
  z.strictObject({ type: z.literal('content_block'), index, content_block: ContentBlock }),
  z.strictObject({
    type: z.literal('message_delta'),
    delta: z.strictObject({ stop_reason: z.string().nullable(), stop_sequence: z.string().nullable() }),
    usage: ProviderUsage,
  }),
  z.strictObject({ type: z.literal('message_stop') }),
  /** What a tool answered; becomes the next block of the answer. */
  z.strictObject({
    type: z.literal('tool_result'),
    tool_use_id: z.string(),
    content: ToolResultContent,
    is_error: z.boolean(),
    durationMs: z.number().nonnegative(),
  }),
  /** Data of the agent or a tool, of the application's own kind. The message keeps the newest of each name and id. */
  z.strictObject({ type: z.literal('data'), ...dataFields }),
  /** The provider refused before its first token; the agent waits `delayMs` and tries again. */
  z.strictObject({
    type: z.literal('run_retrying'),
    attempt: z.int().positive(),
    delayMs: z.number().nonnegative(),
    error: WireError,
  }),
] as const

/** What an agent may yield. One model call (cycle) is `message_start` to `message_stop`; block indexes count from 0 in each. */
export const AgentEvent = z.discriminatedUnion('type', agentEvents)
export type AgentEvent = z.infer<typeof AgentEvent>

/** What an agent or a tool has emitted. */
export type DataEvent = Extract<AgentEvent, { type: 'data' }>

/** The block that `event` begins or brings whole. */
export function blockOf(event: RunEvent): ContentBlock | undefined {
  return event.type === 'content_block_start' || event.type === 'content_block' ? event.content_block : undefined
}

const runEnd = { messageId: MessageId, metrics: RunMetrics }

/** `messageId` is null when the run was cancelled in the queue: a prompt that was never asked leaves no message. */
const runCancelled = z.strictObject({
  type: z.literal('run_cancelled'),
  ...runEnd,
  messageId: MessageId.nullable(),
})

const terminalEvents = [
  z.strictObject({ type: z.literal('run_completed'), ...runEnd }),
  /** The model declined to answer: the message has what it said of it, and agents no longer receive the turn. */
  z.strictObject({ type: z.literal('run_refused'), ...runEnd }),
  z.strictObject({ type: z.literal('run_failed'), ...runEnd, error: WireError }),
  runCancelled,
  z.strictObject({
    type: z.literal('run_interrupted'),
    ...runEnd,
    error: WireError,
    /** The run that goes on from here, when the server has started one: follow it for the rest of the answer. */
    continuedBy: RunId.optional(),
  }),
] as const

/** The last event of a run; nothing follows it. */
export const TerminalEvent = z.discriminatedUnion('type', terminalEvents)
export type TerminalEvent = z.infer<typeof TerminalEvent>

/** The first event of a run that has to wait; `run_started` follows when its turn comes. */
const runQueued = z.strictObject({
  type: z.literal('run_queued'),
  runId: RunId,
  sessionId: SessionId,
  agentId: AgentId,
  queuedAt: z.iso.datetime(),
})

const runStarted = z.strictObject({
  type: z.literal('run_started'),
  runId: RunId,
  sessionId: SessionId,
  agentId: AgentId,
  userMessageId: MessageId,
  messageId: MessageId,
  startedAt: z.iso.datetime(),
})

/**
 * The process that made the answer was lost before it stored anything of it, and another one asks the agent again. Stands only
 * between `run_started` and the answer.
 */
const runResumed = z.strictObject({
  type: z.literal('run_resumed'),
  attempt: z.int().positive(),
  resumedAt: z.iso.datetime(),
})

/**
 * The answer as the JSON value that the agent's output schema asks for: checked by the engine, and stored with the terminal event,
 * right before it.
 */
const outputEvent = z.strictObject({ type: z.literal('output'), output: JsonValue })
type OutputEvent = z.infer<typeof outputEvent>

/** One entry of a run's log. Its seq is its place in the batch, see {@link EventBatch}. */
export const RunEvent = z.discriminatedUnion('type', [
  runQueued,
  runStarted,
  runResumed,
  ...agentEvents,
  outputEvent,
  ...terminalEvents,
])
export type RunEvent = z.infer<typeof RunEvent>

/** What the engine says of a run: its states and figures, nothing that a person or a model said. */
export type EngineEvent = Exclude<RunEvent, AgentEvent | OutputEvent>

/** The event with which a run's log goes on when the run begins. */
export type RunStartedEvent = z.infer<typeof runStarted>

/** Events of one run that became durable together; event `i` has the seq `firstSeq + i`. The unit of delivery. */
export const EventBatch = z.strictObject({
  firstSeq: z.int().positive(),
  events: z.array(RunEvent).min(1),
})
export type EventBatch = z.infer<typeof EventBatch>

/** The seq of the batch's last event. */
export function lastSeqOf(batch: EventBatch): number {
  return batch.firstSeq + batch.events.length - 1
}

/** The part of `batch` past `after`; undefined when nothing is. */
export function batchAfter(batch: EventBatch, after: number): EventBatch | undefined {
  if (after < batch.firstSeq) return batch
  const events = batch.events.slice(after - batch.firstSeq + 1)
  return events.length === 0 ? undefined : { firstSeq: after + 1, events }
}

/** Tells whether `event` is the last one of its run. */
export function isTerminalEvent(event: RunEvent): event is TerminalEvent {
  switch (event.type) {
    case 'run_completed':
    case 'run_refused':
    case 'run_failed':
    case 'run_cancelled':
    case 'run_interrupted':
      return true
    default:
      return false
  }
}

/** The event that ends the run, when `batch` holds it. It is the last one. */
export function terminalOf(batch: EventBatch): TerminalEvent | undefined {
  const last = batch.events.at(-1)
  return last !== undefined && isTerminalEvent(last) ? last : undefined
}

/** Tells whether another run continues the one that `event` ends. */
export function isContinued(event: TerminalEvent): boolean {
  return event.type === 'run_interrupted' && event.continuedBy !== undefined
}
