/**
 * One call of the model, with retries for as long as nothing of it was seen.
 * In: a request. Out: its events as they come, then its content. What fails behind the first content ends the run: a second
 * attempt would say things twice (P2).
 */
import type { MessageCreateParamsStreaming } from '@anthropic-ai/sdk/resources/messages'
import { sleep } from '../../async/sleep.ts'
import type { ContentBlock } from '../../contract/content-block.ts'
import { isVerbatimError } from '../../contract/errors.ts'
import type { AgentEvent } from '../../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../../contract/reduce-events.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ClaudeClient } from './claude-options.ts'
import { mapRequestError, mapStreamError, providerError } from './map-provider-error.ts'
import { retryDelayMs } from './retry-delay.ts'
import { createEventMapper } from './to-agent-event.ts'

export interface ModelCaller {
  readonly client: ClaudeClient
  readonly maxRetries: number
  readonly clock: Clock
  readonly random: () => number
}

/** What a model call came to. */
export interface CycleEnd {
  readonly content: readonly ContentBlock[]
  readonly stopReason: string | null
}

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED` when the provider fails for good; the signal's reason when it aborts */
export async function* streamCycle(
  caller: ModelCaller,
  body: MessageCreateParamsStreaming,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent, CycleEnd, void> {
  for (let attempt = 1; ; attempt++) {
    const progress = { hasBegun: false }
    try {
      return yield* readCycle(caller, body, { signal, progress })
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

interface Attempt {
  readonly signal: AbortSignal
  /** Set as soon as the attempt has yielded an event. */
  readonly progress: { hasBegun: boolean }
}

async function* readCycle(
  caller: ModelCaller,
  body: MessageCreateParamsStreaming,
  { signal, progress }: Attempt,
): AsyncGenerator<AgentEvent, CycleEnd, void> {
  const toEvent = createEventMapper()
  const events: AgentEvent[] = []
  for await (const frame of readFrames(caller, body, signal)) {
    const event = toEvent(frame)
    if (event === undefined) continue
    if ((events.length === 0) !== (event.type === 'message_start')) throw providerError('malformed')
    events.push(event)
    // The start is held back until there is content: an attempt that failed before leaves nothing in the log.
    if (events.length === 1) continue
    if (!progress.hasBegun) yield* events.slice(0, 1)
    progress.hasBegun = true
    yield event
    if (event.type === 'message_stop') return toCycleEnd(events)
  }
  throw providerError('cut')
}

/** The provider's stream, unchecked. @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED`; the signal's reason when it aborts */
async function* readFrames(
  caller: ModelCaller,
  body: MessageCreateParamsStreaming,
  signal: AbortSignal,
): AsyncGenerator<unknown, void, void> {
  const frames = await openFrames(caller, body, signal)
  try {
    for await (const frame of frames) {
      signal.throwIfAborted()
      yield frame
    }
  } catch (error) {
    signal.throwIfAborted()
    throw mapStreamError(error, caller.clock)
  }
}

async function openFrames(
  { client, clock }: ModelCaller,
  body: MessageCreateParamsStreaming,
  signal: AbortSignal,
): Promise<AsyncIterable<unknown>> {
  signal.throwIfAborted()
  try {
    // Our own retries, not the SDK's: a follower must see them.
    return await client.messages.create(body, { signal, maxRetries: 0 })
  } catch (error) {
    signal.throwIfAborted()
    throw mapRequestError(error, clock)
  }
}

function toCycleEnd(events: readonly AgentEvent[]): CycleEnd {
  const stopReasons = events.flatMap((event) => (event.type === 'message_delta' ? [event.delta.stop_reason] : []))
  return {
    // The one way in which events become an answer, so that a tool gets the input that is stored.
    content: reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] }).content,
    stopReason: stopReasons.findLast((reason) => reason !== null) ?? null,
  }
}
