/**
 * One call of the model, with retries for as long as nothing of it was seen.
 * In: a request. Out: its events as they come, then its content. What fails after the first content ends the run: a second
 * attempt would say things twice (P2).
 */
import { sleep } from '../../async/sleep.ts'
import type { ContentBlock, ToolUseBlock } from '../../contract/content-block.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { AgentEvent, ProviderUsage } from '../../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../../contract/reduce-events.ts'
import { isWholeInput } from '../../contract/tool-input.ts'
import type { AgentPing } from '../../ports/agent.ts'
import { readFrames } from './read-frames.ts'
import type { FrameReader } from './read-frames.ts'
import { retryDelayMs } from './retry-delay.ts'
import { EventMapper } from './to-agent-event.ts'
import type { ClaudeRequest } from './to-claude-request.ts'

export interface ModelCaller extends FrameReader {
  readonly maxRetries: number
  readonly random: () => number
}

/** A call of a tool, as the model ended it. */
export interface ToolCall {
  readonly block: ToolUseBlock
  /** False for input that was cut or is no JSON: the tool must not run on it. */
  readonly isWhole: boolean
}

/** What a model call came to. */
export interface CycleEnd {
  readonly content: readonly ContentBlock[]
  readonly calls: readonly ToolCall[]
  readonly stopReason: string | null
  /** The container that the provider ran code in. */
  readonly container: string | undefined
  readonly usage: ProviderUsage
}

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED` when the provider fails for good; the signal's reason when it aborts */
export async function* streamCycle(
  caller: ModelCaller,
  request: ClaudeRequest,
  { signal, progress }: Attempt,
): AsyncGenerator<AgentEvent | AgentPing, CycleEnd, void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return yield* readCycle(caller, request, { signal, progress })
    } catch (error) {
      // The SDK ends an aborted stream as if it were whole, which looks like a cut.
      signal.throwIfAborted()
      if (!isVerbatimError(error) || progress.hasBegun || attempt > caller.maxRetries) throw error
      const delayMs = retryDelayMs(error, attempt, caller.random)
      if (delayMs === undefined) throw error
      yield { type: 'run_retrying', attempt, delayMs, error: error.toWire() }
      await sleep(delayMs, signal)
    }
  }
}

export interface Attempt {
  readonly signal: AbortSignal
  /** Set as soon as the call has yielded an event of its answer. */
  readonly progress: { hasBegun: boolean }
}

async function* readCycle(
  caller: ModelCaller,
  request: ClaudeRequest,
  { signal, progress }: Attempt,
): AsyncGenerator<AgentEvent | AgentPing, CycleEnd, void> {
  const mapper = new EventMapper(request.body.model)
  const events: AgentEvent[] = []
  for await (const event of eventsOf(caller, request, { mapper, signal })) {
    if (event.type === 'ping') {
      yield event
      continue
    }
    events.push(event)
    // The start is held back until there is content: an attempt that failed before leaves nothing in the log.
    if (events.length === 1) continue
    if (!progress.hasBegun) yield* events.slice(0, 1)
    progress.hasBegun = true
    yield event
    if (event.type === 'message_stop') break
  }
  return toCycleEnd(events, mapper)
}

async function* eventsOf(
  caller: ModelCaller,
  request: ClaudeRequest,
  { mapper, signal }: { mapper: EventMapper; signal: AbortSignal },
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  try {
    for await (const frame of readFrames(caller, request, signal)) {
      const events = isPing(frame) ? [] : mapper.map(frame)
      // What is held back is a sign of life.
      yield* events.length === 0 ? [ping] : events.map((event) => withBinding(event, request.boundTo))
    }
  } catch (error) {
    // Cut after the stop reason: all was said.
    if (!isVerbatimError(error) || error.data.kind !== 'cut') throw error
  }
  yield* mapper.end()
}

const ping: AgentPing = { type: 'ping' }

function isPing(frame: unknown): boolean {
  return typeof frame === 'object' && frame !== null && 'type' in frame && frame.type === 'ping'
}

/** Thinking is valid only after the prefix that it was made from, so it is stored with a fingerprint of that prefix. */
function withBinding(event: AgentEvent, boundTo: string): AgentEvent {
  if (event.type !== 'content_block_start') return event
  const { content_block } = event
  if (content_block.type !== 'thinking' && content_block.type !== 'redacted_thinking') return event
  return { ...event, content_block: { ...content_block, boundTo } }
}

function toCycleEnd(events: readonly AgentEvent[], { unstopped, container }: EventMapper): CycleEnd {
  const deltas = events.flatMap((event) => (event.type === 'message_delta' ? [event] : []))
  const stopReason = deltas.findLast(({ delta }) => delta.stop_reason !== null)?.delta.stop_reason ?? null
  // The one way in which events become an answer, so that a tool gets the input that is stored.
  const { content } = reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] })
  const [start] = events
  return {
    content,
    calls: content.flatMap((block, at) => {
      if (block.type !== 'tool_use') return []
      const mayBeCut = unstopped.has(at) || (at === content.length - 1 && isCut(stopReason))
      return [{ block, isWhole: isWholeInput(block) && !(mayBeCut && isEmptyObject(block.input)) }]
    }),
    stopReason,
    container,
    usage: { ...(start?.type === 'message_start' ? start.message.usage : {}), ...deltas.at(-1)?.usage },
  }
}

/** The answer stopped in mid-air: a call that has no input yet may have been going to have one. */
function isCut(stopReason: string | null): boolean {
  return stopReason === 'max_tokens' || stopReason === 'model_context_window_exceeded'
}

function isEmptyObject(input: ToolUseBlock['input']): boolean {
  return typeof input === 'object' && input !== null && Object.keys(input).length === 0
}
