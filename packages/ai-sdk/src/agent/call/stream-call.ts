/**
 * One call of a model through the AI SDK's `streamText`, with its tools shown and not run.
 * In: a conversation. Out: its events as they come, then its content.
 */
import { asSchema, jsonSchema, Output, streamText } from 'ai'
import type { ModelMessage, ToolSet } from 'ai'
import { callWithRetries, isBlank, providerError, toCallEnd } from '@verbatim/core/agent-kit'
import type { CallEnd } from '@verbatim/core/agent-kit'
import type { AgentEvent } from '@verbatim/core'
import type { AgentPing } from '@verbatim/core/server'
import type { z } from 'zod'
import type { RunOptions } from '../agent-options.ts'
import { toProviderError } from './map-error.ts'
import type { CallIdentity } from './provider-metadata.ts'
import { resolveModel, tapModel } from './tap-model.ts'
import type { Heard } from './tap-model.ts'
import { PartMapper } from './to-agent-events.ts'

export interface CallRequest {
  readonly messages: readonly ModelMessage[]
  readonly tools: ToolSet
  /** The form that the answer must have. */
  readonly output: OutputForm | undefined
  readonly identity: CallIdentity
  readonly runId: string
}

export type OutputForm = Awaited<ReturnType<typeof toOutputForm>>

/** What the model is asked for. The engine checks the answer, so the AI SDK need not. */
export async function toOutputForm(schema: z.ZodType) {
  // Providers that check the schema do not all know the field that names its draft.
  const { $schema: _draft, ...json } = await asSchema(schema).jsonSchema
  return Output.object({ schema: jsonSchema(json) })
}

interface Attempt {
  readonly signal: AbortSignal
  readonly progress: { hasBegun: boolean }
}

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED` when the provider fails for good; the signal's reason when it aborts */
export async function* streamCall(
  options: RunOptions,
  request: CallRequest,
  attempt: Attempt,
): AsyncGenerator<AgentEvent | AgentPing, CallEnd, void> {
  let unstopped: ReadonlySet<number> = new Set()
  const open = () => {
    const heard: Heard = { model: undefined }
    const mapper = new PartMapper(request.identity, heard)
    unstopped = mapper.unstopped
    return eventsOf(options, request, { mapper, heard, signal: attempt.signal })
  }
  const events = yield* callWithRetries(options, open, attempt)
  return toCallEnd(events, unstopped)
}

interface Reading {
  readonly mapper: PartMapper
  readonly heard: Heard
  readonly signal: AbortSignal
}

const ping: AgentPing = { type: 'ping' }

async function* eventsOf(
  options: RunOptions,
  request: CallRequest,
  { mapper, heard, signal }: Reading,
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  signal.throwIfAborted()
  // A signal of its own: a reader that leaves early ends the request too.
  const stopping = new AbortController()
  const stop = () => stopping.abort(signal.reason)
  signal.addEventListener('abort', stop)
  try {
    for await (const part of openStream(options, request, { heard, signal: stopping.signal })) {
      signal.throwIfAborted()
      if (part.type === 'error') throw part.error
      if (part.type === 'abort') throw providerError('cut')
      const events = mapper.map(part)
      // What says nothing yet is a sign of life.
      yield* events.length === 0 ? [ping] : events
    }
  } catch (error) {
    signal.throwIfAborted()
    throw toProviderError(error, options.clock)
  } finally {
    signal.removeEventListener('abort', stop)
    stop()
  }
}

function openStream(
  { model, system, maxOutputTokens, settings, providerOptions, headers, logger }: RunOptions,
  { messages, tools, output, runId }: CallRequest,
  { heard, signal }: { heard: Heard; signal: AbortSignal },
) {
  const { stream } = streamText({
    ...settings,
    ...(maxOutputTokens === undefined ? {} : { maxOutputTokens }),
    ...(providerOptions === undefined ? {} : { providerOptions }),
    ...(headers === undefined ? {} : { headers }),
    ...(system === undefined || isBlank(system) ? {} : { instructions: system }),
    ...(Object.keys(tools).length === 0 ? {} : { tools }),
    ...(output === undefined ? {} : { output }),
    model: tapModel(resolveModel(model), { heard, logger, runId }),
    messages: [...messages],
    abortSignal: signal,
    // Our own retries: a follower must see them.
    maxRetries: 0,
    // The server fetches no address that a user or a model has written: the provider does, or refuses it.
    experimental_download: async (files) => await Promise.resolve(files.map(() => null)),
    // The SDK would print the error, with the prompt in it.
    onError: () => {},
  })
  return stream
}
