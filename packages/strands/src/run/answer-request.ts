/**
 * One run of a Strands agent. In: a conversation that ends with a user message. Out: the engine's events, in order.
 *
 * Strands works only as far as its stream is pulled. A call of a tool is yielded with its `message_stop`, and the engine stores that
 * before it pulls again: so no tool runs unrecorded.
 */
import { AfterModelCallEvent, HookOrder } from '@strands-agents/sdk'
import type { Agent, AgentResult, AgentStreamEvent, InvokeOptions, Message } from '@strands-agents/sdk'
import { isVerbatimError } from '@verbatim/core'
import type { AgentEvent, ContentBlock } from '@verbatim/core'
import type { AgentPing, AgentRequest } from '@verbatim/core/server'
import type { z } from 'zod'
import { toToolResult } from '../content/from-strands.ts'
import type { Intervention } from '../content/guardrail.ts'
import { toConversation } from '../content/to-strands.ts'
import type { ReadAttachment } from '../content/media.ts'
import type { TakeAgent } from './agent-slot.ts'
import { stateOf } from './run-of.ts'
import { agentError, mapAgentError } from './map-error.ts'
import { ModelCall } from './model-call.ts'

/** What a run needs besides its request. */
export interface RunParts {
  readonly take: TakeAgent
  readonly output?: z.ZodType | undefined
  readonly limits?: InvokeOptions['limits']
  readonly onIntervention?: ((intervention: Intervention, request: AgentRequest) => void | Promise<void>) | undefined
}

const pingMs = 5_000

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED`, `OUTPUT_INVALID`; the signal's reason when it aborts */
export async function* answerRequest(
  parts: RunParts,
  request: AgentRequest,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  const taking = parts.take(request)
  const { agent, release } = yield* waitFor(taking, signal)
  try {
    yield* runAgent(agent, parts, { request, signal })
  } finally {
    release()
  }
}

/** An agent that serves one run at a time may be at work: the run waits for it, and is alive. */
async function* waitFor(
  taking: ReturnType<TakeAgent>,
  signal: AbortSignal,
): AsyncGenerator<AgentPing, Awaited<ReturnType<TakeAgent>>, void> {
  let isTaken = false
  try {
    while (true) {
      const taken = await Promise.race([taking, pause(signal)])
      if (taken !== undefined) {
        isTaken = true
        return taken
      }
      signal.throwIfAborted()
      yield { type: 'ping' }
    }
  } finally {
    if (!isTaken)
      void taking.then(
        ({ release }) => release(),
        () => {},
      )
  }
}

async function pause(signal: AbortSignal): Promise<undefined> {
  const { promise, resolve } = Promise.withResolvers<undefined>()
  const go = () => resolve(undefined)
  const timer = setTimeout(go, pingMs)
  signal.addEventListener('abort', go, { once: true })
  await promise
  clearTimeout(timer)
  signal.removeEventListener('abort', go)
  return undefined
}

interface Scope {
  readonly request: AgentRequest
  readonly signal: AbortSignal
}

async function* runAgent(
  agent: Agent,
  parts: RunParts,
  { request, signal }: Scope,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  const conversation = await toConversation(request.messages, { read: readerOf(request, signal) })
  const prompt = conversation.pop()
  if (prompt === undefined) throw agentError('refused')
  agent.messages.push(...conversation)
  const { runId, sessionId, principal, session, input, emit } = request
  const scope = { runId, sessionId, principal, session, input, emit, signal }
  const reader = new StreamReader(agent, parts.onIntervention, request)
  // What a client has seen is not said twice: a call that has begun is not made again.
  const stopListening = agent.addHook(
    AfterModelCallEvent,
    (event) => {
      if (event.retry === true && reader.hasContent) event.retry = false
    },
    { order: HookOrder.SDK_LAST + 1 },
  )
  const stream = agent.stream([prompt], {
    cancelSignal: signal,
    invocationState: stateOf(scope),
    ...(parts.output === undefined ? {} : { structuredOutputSchema: parts.output }),
    ...(parts.limits === undefined ? {} : { limits: parts.limits }),
  })
  try {
    const result = yield* readAll(stream, reader)
    signal.throwIfAborted()
    yield* reader.finish(result)
  } catch (error) {
    signal.throwIfAborted()
    // An answer that was cut by its limit of tokens is an answer, as every other agent gives it.
    let isCut = false
    for (const event of reader.endCut()) {
      isCut = true
      yield event
    }
    if (!isCut) throw isVerbatimError(error) ? error : mapAgentError(error)
  } finally {
    stopListening()
    await stream.return(undefined as never) // a stream that was left still closes what it has opened
  }
}

async function* readAll(
  stream: AsyncGenerator<AgentStreamEvent, AgentResult, undefined>,
  reader: StreamReader,
): AsyncGenerator<AgentEvent | AgentPing, AgentResult, void> {
  while (true) {
    const next = await stream.next()
    if (next.done === true) return next.value
    yield* reader.read(next.value)
  }
}

/** A file that is gone leaves nothing in the conversation. */
function readerOf({ attachments }: AgentRequest, signal: AbortSignal): ReadAttachment {
  return async (id) => {
    const [file] = (await attachments?.find([id], { signal })) ?? []
    if (attachments === undefined || file === undefined) return undefined
    return { bytes: await attachments.read(id, { signal }), mediaType: file.mediaType }
  }
}

/** Reads one stream of an agent. */
class StreamReader {
  readonly #agent: Agent
  readonly #request: AgentRequest
  readonly #onIntervention: RunParts['onIntervention']
  readonly #startedMs = new Map<string, number>()
  #call: ModelCall
  #said: Message | undefined
  #hasAnswered = false

  constructor(agent: Agent, onIntervention: RunParts['onIntervention'], request: AgentRequest) {
    this.#agent = agent
    this.#onIntervention = onIntervention
    this.#request = request
    this.#call = this.#newCall()
    // The rest of an answer may be nothing at all.
    this.#hasAnswered = (request.messages.at(-1)?.continuationOf ?? null) !== null
  }

  get hasContent(): boolean {
    return this.#call.hasContent
  }

  async *read(event: AgentStreamEvent): AsyncGenerator<AgentEvent | AgentPing, void, void> {
    switch (event.type) {
      case 'modelStreamUpdateEvent':
        yield* this.#call.add(event.event)
        return
      case 'afterModelCallEvent':
        yield* this.#endCall(event)
        return
      case 'beforeToolCallEvent':
        this.#startedMs.set(event.toolUse.toolUseId, performance.now())
        return
      case 'toolResultEvent': {
        const { toolUseId } = event.result
        const startedMs = this.#startedMs.get(toolUseId) ?? performance.now()
        const { content, tool_use_id, is_error } = toToolResult(event.result)
        const durationMs = Math.max(0, Math.round(performance.now() - startedMs))
        yield { type: 'tool_result', tool_use_id, content, is_error, durationMs }
        return
      }
      case 'messageAddedEvent':
        yield* this.#addMessage(event.message)
        return
      default:
        yield { type: 'ping' }
    }
  }

  /** What is left to say when the stream has ended. @throws VerbatimError when the agent ended without an answer */
  *finish({ stopReason, structuredOutput }: AgentResult): Generator<AgentEvent, void, void> {
    if (stopReason === 'interrupt') throw agentError('interrupt')
    if (stopReason === 'checkpoint') throw agentError('checkpoint')
    if (structuredOutput !== undefined) {
      yield* this.#say([{ type: 'text', text: JSON.stringify(structuredOutput) }])
      return
    }
    if (this.#hasAnswered) return
    throw agentError(stopReason.startsWith('limit') ? 'max_cycles' : 'empty')
  }

  endCut(): Generator<AgentEvent, void, void> {
    return this.#call.endCut()
  }

  async *#endCall({ stopData, retry }: AfterModelCallEvent): AsyncGenerator<AgentEvent | AgentPing, void, void> {
    if (retry === true || stopData === undefined) {
      yield { type: 'ping' }
      return
    }
    const call = this.#call
    this.#said = stopData.message
    const events = [...call.end(stopData.message, stopData.stopReason)]
    const { intervention } = call
    this.#call = this.#newCall()
    this.#hasAnswered ||= call.isVisible
    if (intervention !== undefined) {
      const { action, reasons } = intervention
      yield { type: 'data', name: 'guardrail', data: { action, reasons: [...reasons] } }
      await this.#onIntervention?.(intervention, this.#request)
    }
    yield* events
  }

  /** An assistant message that no call of the model has made is a hook's: it is a part of the answer too. */
  *#addMessage(message: Message): Generator<AgentEvent, void, void> {
    if (message.role !== 'assistant' || message === this.#said || this.#agent.cancelSignal.aborted) return
    const blocks = message.content.flatMap((block): ContentBlock[] =>
      block.type === 'textBlock' ? [{ type: 'text', text: block.text }] : [],
    )
    if (blocks.length > 0) yield* this.#say(blocks)
  }

  *#say(blocks: readonly ContentBlock[]): Generator<AgentEvent, void, void> {
    this.#hasAnswered = true
    yield { type: 'message_start', message: { model: this.#agent.model.modelId ?? this.#agent.id, usage: {} } }
    for (const [index, block] of blocks.entries()) yield { type: 'content_block', index, content_block: block }
    yield { type: 'message_delta', delta: { stop_reason: 'end_turn', stop_sequence: null }, usage: {} }
    yield { type: 'message_stop' }
  }

  #newCall(): ModelCall {
    return new ModelCall(this.#agent.model.modelId ?? this.#agent.id)
  }
}
