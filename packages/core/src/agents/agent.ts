/**
 * An agent of your own, as small as a generator of text. In: text or events, from any source. Out: the engine's events.
 * It is an entry of the package by itself, so that the type of a server's agents brings no driver to a page.
 */
import { raceSignal } from '../async/race-signal.ts'
import { VerbatimError } from '../contract/errors.ts'
import { AgentId } from '../contract/identifiers.ts'
import type { z } from 'zod'
import type { Agent, AgentRequest, DataSchemas, EmitOf, ScopeOf, TypedAgent } from '../ports/agent.ts'
import { frameAnswer } from './frame-answer.ts'
import type { AgentChunk } from './frame-answer.ts'

/** The pieces of an answer, from whatever makes them: a generator, an SDK's stream, a list, one text. */
export type AgentSource = string | Iterable<AgentChunk> | AsyncIterable<AgentChunk> | ReadableStream<AgentChunk>

/** What {@link agent} takes: an {@link Agent} whose `stream` may say less. */
export interface AgentOptions<
  TId extends AgentId = AgentId,
  TInput extends Schema = undefined,
  TOutput extends Schema = undefined,
  TData extends DataSchemas | undefined = undefined,
> extends Omit<Agent, 'id' | 'input' | 'output' | 'data' | 'stream'> {
  readonly id: TId
  /** What callers may give beside the prompt, see {@link Agent}. @default nothing */
  readonly input?: TInput | undefined
  /** What the answer's text must be, see {@link Agent}. @default any text */
  readonly output?: TOutput | undefined
  /** What the agent may emit, by name, see {@link Agent}. @default any name, any JSON */
  readonly data?: TData | undefined
  /** What the answer names as its model, where no event of yours does. @default the agent's id */
  readonly model?: string
  /** Answers `request`. What it throws ends the run as failed. `signal` aborts when the run is cancelled: pass it on to your provider. */
  stream(request: RequestOf<TInput, TData>, signal: AbortSignal): AgentSource | Promise<AgentSource>
}

/** A request whose input and data the compiler knows by the schemas of its agent. */
export type RequestOf<TInput extends Schema, TData extends DataSchemas | undefined> = Omit<
  ScopeOf<AgentRequest, TInput>,
  'emit'
> & { readonly emit: EmitOf<TData> }

type Schema = z.ZodType | undefined

/**
 * Makes an agent of your own loop. Text is enough. Events are possible where there is more to say: thinking, calls of tools,
 * the tokens that were used. What frames them (`message_start`, `content_block_start`, the stops) is added where it is missing.
 *
 * @example
 * agent({
 *   id: 'echo',
 *   async *stream({ messages }) {
 *     yield 'You said: '
 *     yield textOf(messages.at(-1)?.content ?? [])
 *   },
 * })
 * @throws VerbatimError `INVALID_CONFIGURATION` for an id that is none
 */
export function agent<
  const TId extends AgentId,
  TInput extends Schema = undefined,
  TOutput extends Schema = undefined,
  TData extends DataSchemas | undefined = undefined,
>(options: AgentOptions<TId, TInput, TOutput, TData>): TypedAgent<TId, TInput, TOutput, TData> {
  const { id, input, output, data, model = id, ...rest } = options
  if (!AgentId.safeParse(id).success) {
    throw new VerbatimError('INVALID_CONFIGURATION', 'agent: id: use 1 to 64 letters, digits or . _ -')
  }
  return {
    ...rest,
    id,
    input: input as TInput,
    output: output as TOutput,
    data: data as TData,
    stream: (request, signal) =>
      frameAnswer(
        // The engine checks the input and the data by the schemas of the agent.
        read(() => options.stream(request as object as RequestOf<TInput, TData>, signal), signal),
        { model },
      ),
  }
}

/** Leaves a source that does not listen to the signal itself. */
async function* read(
  open: () => AgentSource | Promise<AgentSource>,
  signal: AbortSignal,
): AsyncGenerator<AgentChunk, void, void> {
  const source = await raceSignal(Promise.resolve(open()), signal)
  if (typeof source === 'string') yield source
  else if (source instanceof ReadableStream) yield* readStream(source, signal)
  else if (Symbol.asyncIterator in source) yield* readIterable(source, signal)
  else yield* source
}

async function* readIterable(source: AsyncIterable<AgentChunk>, signal: AbortSignal) {
  const iterator = source[Symbol.asyncIterator]()
  try {
    while (true) {
      const result = await raceSignal(iterator.next(), signal)
      if (result.done === true) return
      yield result.value
    }
  } finally {
    // Not awaited: a generator that hangs answers when it stops hanging.
    void iterator.return?.()?.then(undefined, () => {})
  }
}

async function* readStream(source: ReadableStream<AgentChunk>, signal: AbortSignal) {
  const reader = source.getReader()
  try {
    while (true) {
      const result = await raceSignal(reader.read(), signal)
      if (result.done) return
      yield result.value
    }
  } finally {
    void reader.cancel(signal.reason).catch(() => {}) // a stream that has ended is not cancelled
  }
}
