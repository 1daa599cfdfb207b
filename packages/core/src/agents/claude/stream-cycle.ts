/**
 * One call of Claude.
 * In: a request. Out: its events as they come, then its content.
 */
import { isVerbatimError } from '../../contract/errors.ts'
import type { AgentEvent } from '../../contract/event.ts'
import type { AgentPing } from '../../ports/agent.ts'
import { callWithRetries, toCallEnd } from './call-with-retries.ts'
import type { Attempt, CallEnd, RetryOptions } from './call-with-retries.ts'
import { readFrames } from './read-frames.ts'
import type { FrameReader } from './read-frames.ts'
import { EventMapper } from './to-agent-event.ts'
import type { ClaudeRequest } from './to-claude-request.ts'

export interface ModelCaller extends FrameReader, RetryOptions {}

/** What a model call came to. */
export interface CycleEnd extends CallEnd {
  /** The container that the provider ran code in. */
  readonly container: string | undefined
}

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED` when the provider fails for good; the signal's reason when it aborts */
export async function* streamCycle(
  caller: ModelCaller,
  request: ClaudeRequest,
  attempt: Attempt,
): AsyncGenerator<AgentEvent | AgentPing, CycleEnd, void> {
  let mapper = new EventMapper(request.body.model)
  const open = () => {
    mapper = new EventMapper(request.body.model)
    return eventsOf(caller, request, { mapper, signal: attempt.signal })
  }
  const events = yield* callWithRetries(caller, open, attempt)
  return { ...toCallEnd(events, mapper.unstopped), container: mapper.container }
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
