/**
 * Events become an answer here and nowhere else: the server stores what this returns, the client shows it (promise P4).
 * Applying a batch twice, or one that overlaps what was applied, changes nothing (promise P2).
 */
import type { ContentBlock, ToolUseBlock } from './content-block.ts'
import { withNewest } from './data-part.ts'
import type { DataPart } from './data-part.ts'
import type { JsonValue } from './json-value.ts'
import type { WireError } from './errors.ts'
import { batchAfter, isTerminalEvent, lastSeqOf } from './event.ts'
import type { ContentDelta, EventBatch, RunEvent, TerminalEvent } from './event.ts'
import type { RunMetrics } from './metrics.ts'
import type { RunStatus, TerminalStatus } from './run.ts'
import type { McpToolUseBlock, ServerToolUseBlock } from './provider-block.ts'
import { readToolInput } from './tool-input.ts'

/** The state of an answer after a prefix of its run's log. Treat it as immutable. */
export interface Answer {
  readonly status: RunStatus
  /** Seq of the last applied event; 0 before the first. */
  readonly lastSeq: number
  /** The agent that answers; null before the first event. */
  readonly agentId: string | null
  readonly messageId: string | null
  readonly content: readonly ContentBlock[]
  /** What the agent and its tools emitted: the newest of each name and id. */
  readonly data: readonly DataPart[]
  /** The checked output of an agent with an output schema, which comes with the run's end. */
  readonly output: JsonValue | null
  readonly metrics: RunMetrics | null
  readonly error: WireError | null
  /** The run that goes on from this interrupted one. */
  readonly continuedBy: string | null
  /** The attempt that the agent waits for, because the provider refused the one before; null while none is awaited. */
  readonly retrying: { readonly attempt: number; readonly error: WireError } | null
  /** Where the blocks of the running model call begin in `content`. */
  readonly cycleStart: number
  /** JSON text of the tool inputs that are being streamed, by their place in `content`: blocks may be streamed side by side. */
  readonly partialInputs: Readonly<Record<number, string>>
}

/** The answer before its first event. */
export const emptyAnswer: Answer = Object.freeze({
  status: 'running',
  lastSeq: 0,
  agentId: null,
  messageId: null,
  content: [],
  data: [],
  output: null,
  metrics: null,
  error: null,
  continuedBy: null,
  retrying: null,
  cycleStart: 0,
  partialInputs: {},
})

/** Thrown when events before a batch are missing: the follower must read again from `lastSeq`. */
export class EventGapError extends Error {
  override readonly name = 'EventGapError'
}

/**
 * The answer after `batch`.
 *
 * @throws EventGapError when events between `answer.lastSeq` and the batch are missing.
 */
export function reduceEvents(answer: Answer, batch: EventBatch): Answer {
  if (batch.firstSeq > answer.lastSeq + 1) {
    throw new EventGapError(`Events ${answer.lastSeq + 1} to ${batch.firstSeq - 1} are missing; read them first`)
  }
  const fresh = batchAfter(batch, answer.lastSeq)
  if (fresh === undefined) return answer
  // One copy a batch, not an event: the draft is private until it is returned.
  const draft: Draft = { ...answer, content: [...answer.content] }
  for (const event of fresh.events) {
    applyEvent(draft, event)
    // Whatever comes next is of the attempt that was awaited.
    draft.retrying = event.type === 'run_retrying' ? { attempt: event.attempt, error: event.error } : null
  }
  draft.lastSeq = lastSeqOf(fresh)
  return draft
}

type Draft = { -readonly [K in keyof Answer]: Answer[K] } & { content: ContentBlock[] }

function applyEvent(draft: Draft, event: RunEvent): void {
  switch (event.type) {
    case 'run_queued':
      draft.status = 'queued'
      draft.agentId = event.agentId
      return
    case 'run_started':
      draft.status = 'running'
      draft.agentId = event.agentId
      draft.messageId = event.messageId
      return
    case 'message_start':
      draft.cycleStart = draft.content.length
      return
    case 'content_block_start':
    case 'content_block':
      draft.content[draft.cycleStart + event.index] = event.content_block
      setPartialInput(draft, draft.cycleStart + event.index, undefined)
      return
    case 'content_block_delta':
      applyDelta(draft, draft.cycleStart + event.index, event.delta)
      return
    case 'content_block_stop':
      finishToolInput(draft, draft.cycleStart + event.index)
      return
    case 'tool_result':
      draft.content.push({
        type: 'tool_result',
        tool_use_id: event.tool_use_id,
        content: event.content,
        is_error: event.is_error,
      })
      return
    case 'data':
      draft.data = withNewest(draft.data, event)
      return
    case 'output':
      draft.output = event.output
      return
    case 'run_retrying':
    case 'run_resumed':
    case 'message_delta':
    case 'message_stop':
      return
    default:
      // An unknown event comes from a newer server: its seq counts, and it shows nothing here.
      if (isTerminalEvent(event)) applyTerminal(draft, event)
  }
}

const terminalStatuses = {
  run_completed: 'completed',
  run_refused: 'refused',
  run_failed: 'failed',
  run_cancelled: 'cancelled',
  run_interrupted: 'interrupted',
} as const satisfies Record<TerminalEvent['type'], TerminalStatus>

/** The status a run has after its terminal event. */
export function statusOfTerminal(event: TerminalEvent): TerminalStatus {
  return terminalStatuses[event.type]
}

function applyTerminal(draft: Draft, event: TerminalEvent): void {
  draft.status = statusOfTerminal(event)
  draft.metrics = event.metrics
  draft.messageId = event.messageId
  draft.error = 'error' in event ? event.error : null
  draft.continuedBy = event.type === 'run_interrupted' ? (event.continuedBy ?? null) : null
}

function applyDelta(draft: Draft, at: number, delta: ContentDelta): void {
  const block = draft.content[at]
  if (block === undefined) return // a delta of a block that never started carries nothing to show
  switch (delta.type) {
    case 'text_delta':
      if (block.type === 'text') draft.content[at] = { ...block, text: block.text + delta.text }
      return
    case 'thinking_delta':
      if (block.type === 'thinking') draft.content[at] = { ...block, thinking: block.thinking + delta.thinking }
      return
    case 'signature_delta':
      if (block.type === 'thinking') draft.content[at] = { ...block, signature: delta.signature }
      return
    case 'citations_delta':
      if (block.type === 'text')
        draft.content[at] = { ...block, citations: [...(block.citations ?? []), delta.citation] }
      return
    case 'input_json_delta':
      setPartialInput(draft, at, (draft.partialInputs[at] ?? '') + delta.partial_json)
  }
}

/** The input as JSON, see {@link readToolInput}. A call without any JSON text keeps the input that it began with. */
function finishToolInput(draft: Draft, at: number): void {
  const block = draft.content[at]
  const text = draft.partialInputs[at] ?? ''
  if (block !== undefined && takesInput(block) && text !== '') draft.content[at] = { ...block, ...readToolInput(text) }
  setPartialInput(draft, at, undefined)
}

type CallBlock = ToolUseBlock | ServerToolUseBlock | McpToolUseBlock

function takesInput(block: ContentBlock): block is CallBlock {
  return block.type === 'tool_use' || block.type === 'server_tool_use' || block.type === 'mcp_tool_use'
}

function setPartialInput(draft: Draft, at: number, text: string | undefined): void {
  const { [at]: before, ...others } = draft.partialInputs
  if (before !== text) draft.partialInputs = text === undefined ? others : { ...others, [at]: text }
}
