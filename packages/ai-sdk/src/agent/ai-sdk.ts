/**
 * Any model of the AI SDK as an agent.
 * In: the conversation. Out: the provider's stream in our words, retries and tool results included (see `Agent` of `@verbatim/core/server`).
 */
import type { LanguageModel } from 'ai'
import { createTokenBudget, refusalOfFiles } from '@verbatim/core/agent-kit'
import type { SystemPrompt } from '@verbatim/core/agent-kit'
import type { Agent, DataSchemas, RunScope, ScopeOf, TypedAgent } from '@verbatim/core/server'
import type { z } from 'zod'
import { parseAgentOptions } from './agent-options.ts'
import type { AgentOptions, AgentOptionsInput, ModelOf } from './agent-options.ts'
import { readTools } from './tools/agent-tools.ts'
import { answerRequest } from './answer-request.ts'

export type { AgentOptionsInput, ModelOf, Tools } from './agent-options.ts'

type Schema = z.ZodType | undefined

/** What {@link aiSdk} takes, with the types of its id, its input and its output. */
export interface AiSdkAgentOptions<
  TId extends string,
  TInput extends Schema,
  TOutput extends Schema,
  TData extends DataSchemas | undefined,
> extends Omit<AgentOptionsInput, 'id' | 'model' | 'system' | 'input' | 'output' | 'data'> {
  /** The agent's name in sessions and runs. */
  readonly id: TId
  /** A model of any provider of the AI SDK, the id of one at its gateway, or a function that answers it for each run. */
  readonly model: LanguageModel | ModelOf<ScopeOf<RunScope, TInput>>
  /** The system prompt, or what makes it for each run: of who asks, in which session, with which input. */
  readonly system?: string | SystemPrompt<ScopeOf<RunScope, TInput>> | undefined
  /** What callers may give beside the prompt, see `Agent.input`. The model receives it only through `system` and tools. @default nothing */
  readonly input?: TInput | undefined
  /** What the answer must be, see `Agent.output`. @default the answer is prose */
  readonly output?: TOutput | undefined
  /** What the tools may emit, by name, see `Agent.data`. @default any name, any JSON */
  readonly data?: TData | undefined
}

/** Where the provider sets no bound, so much of the window is kept free for the answer. */
const usualOutputTokens = 16_384

/**
 * An agent that answers with a model of the AI SDK: any of its providers. It retries a model call only while nothing of it was seen, runs
 * tools once their calls are stored, and stops the provider's request as soon as its signal aborts.
 *
 * @example
 * const agent = aiSdk({ id: 'gpt', model: openai('gpt-5'), system: 'You are brief.', tools: { weather } })
 * @throws VerbatimError `INVALID_CONFIGURATION` naming the option that is wrong
 */
export function aiSdk<
  const TId extends string,
  TInput extends Schema = undefined,
  TOutput extends Schema = undefined,
  TData extends DataSchemas | undefined = undefined,
>(options: AiSdkAgentOptions<TId, TInput, TOutput, TData>): TypedAgent<TId, TInput, TOutput, TData> {
  // The types are more exact than what is parsed: the id and the schemas are those that were given.
  return createAgent(parseAgentOptions(options as AgentOptionsInput)) as TypedAgent<TId, TInput, TOutput, TData>
}

function createAgent(options: AgentOptions): Agent {
  const { id, input, output, data, timeouts, maxHistoryMessages, onCrash, continuation, contextTokens, system } =
    options
  const tools = readTools(options.tools)
  const maxTokens = options.maxOutputTokens ?? Math.min(usualOutputTokens, contextTokens / 4)
  const budget = createTokenBudget({ contextTokens, maxTokens })
  // A system prompt that is made for each run is not known yet, and neither are the schemas of tools.
  const fixedBytes = typeof system === 'string' ? Buffer.byteLength(system) : 0
  return Object.freeze({
    id,
    maxPromptBytes: () => Math.max(0, budget.maxBytes() - fixedBytes),
    refusalOf: (files) => refusalOfFiles(files, contextTokens),
    onCrash,
    ...(output === undefined ? {} : { output }),
    ...(data === undefined ? {} : { data }),
    ...(input === undefined ? {} : { input }),
    ...(continuation === undefined ? {} : { continuation }),
    ...(timeouts === undefined ? {} : { timeouts: withoutUndefined(timeouts) }),
    ...(maxHistoryMessages === undefined ? {} : { maxHistoryMessages }),
    stream: (request, signal) => answerRequest({ ...options, parts: { budget, tools } }, request, signal),
  } satisfies Agent)
}

function withoutUndefined({ firstTokenMs, idleMs, totalMs }: NonNullable<AgentOptions['timeouts']>) {
  return {
    ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
    ...(idleMs === undefined ? {} : { idleMs }),
    ...(totalMs === undefined ? {} : { totalMs }),
  }
}
