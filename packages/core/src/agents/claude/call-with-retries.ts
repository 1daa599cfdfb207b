/**
 * One call of a model, with retries for as long as nothing of it was seen. What fails after the first content ends the run: a second
 * attempt would say things twice (P2).
 * In: a way to open the call. Out: its events as they come, then all of them.
 */
import { sleep } from '../../async/sleep.ts'
import type { ContentBlock, ToolUseBlock } from '../../contract/content-block.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { AgentEvent, ProviderUsage } from '../../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../../contract/reduce-events.ts'
import { isWholeInput } from '../../contract/tool-input.ts'
import type { AgentPing } from '../../ports/agent.ts'
import { retryDelayMs } from './retry-delay.ts'

export interface RetryOptions {
  readonly maxRetries: number
  readonly random: () => number
}

export interface Attempt {
  readonly signal: AbortSignal
  /** Set as soon as the call has yielded an event of its answer. */
  readonly progress: { hasBegun: boolean }
}

/**
 * @param open makes an attempt; its first event is the `message_start`
 * @throws VerbatimError what the last attempt threw; the signal's reason when it aborts
 */
export async function* callWithRetries(
  { maxRetries, random }: RetryOptions,
  open: () => AsyncIterable<AgentEvent | AgentPing>,
  { signal, progress }: Attempt,
): AsyncGenerator<AgentEvent | AgentPing, readonly AgentEvent[], void> {
  for (let attempt = 1; ; attempt++) {
    try {
      return yield* readCall(open(), progress)
    } catch (error) {
      // An SDK may end an aborted stream as if it were whole, which looks like a cut.
      signal.throwIfAborted()
      if (!isVerbatimError(error) || progress.hasBegun || attempt > maxRetries) throw error
      const delayMs = retryDelayMs(error, attempt, random)
      if (delayMs === undefined) throw error
      yield { type: 'run_retrying', attempt, delayMs, error: error.toWire() }
      await sleep(delayMs, signal)
    }
  }
}

async function* readCall(
  source: AsyncIterable<AgentEvent | AgentPing>,
  progress: Attempt['progress'],
): AsyncGenerator<AgentEvent | AgentPing, readonly AgentEvent[], void> {
  const events: AgentEvent[] = []
  for await (const event of source) {
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
  return events
}

/** A call of a tool, as the model ended it. */
export interface ToolCall {
  readonly block: ToolUseBlock
  /** False for input that was cut or is no JSON: the tool must not run on it. */
  readonly isWhole: boolean
}

/** What a model call came to. */
export interface CallEnd {
  readonly content: readonly ContentBlock[]
  readonly calls: readonly ToolCall[]
  readonly stopReason: string | null
  readonly usage: ProviderUsage
}

/** @param unstopped the indexes of the blocks that the provider did not stop */
export function toCallEnd(events: readonly AgentEvent[], unstopped: ReadonlySet<number>): CallEnd {
  const deltas = events.flatMap((event) => (event.type === 'message_delta' ? [event] : []))
  const stopReason = deltas.findLast(({ delta }) => delta.stop_reason !== null)?.delta.stop_reason ?? null
  // The one way in which events become an answer, so that a tool gets the input that is stored.
  const { content } = reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] })
  const [start] = events
  const lastCallAt = content.findLastIndex((block) => block.type !== 'model_metadata')
  return {
    content,
    calls: content.flatMap((block, at) => {
      if (block.type !== 'tool_use') return []
      const mayBeCut = unstopped.has(at) || (at === lastCallAt && isCut(stopReason))
      return [{ block, isWhole: isWholeInput(block) && !(mayBeCut && isEmptyObject(block.input)) }]
    }),
    stopReason,
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
