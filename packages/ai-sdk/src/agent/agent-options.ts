import type { LanguageModel, LanguageModelCallOptions, ToolSet } from 'ai'
import { isBlank, raceSignal, randomFraction, systemClock } from '@verbatim/core/agent-kit'
import type { Summarize, SystemPrompt } from '@verbatim/core/agent-kit'
import { AgentId, VerbatimError } from '@verbatim/core'
import type { Tool } from '@verbatim/core/claude'
import { silentLogger } from '@verbatim/core/server'
import type { Clock, Logger, RunScope } from '@verbatim/core/server'
import { z } from 'zod'

/** Makes the model of one run: of who asks, in which session, with which input. */
export type ModelOf<TScope extends object = RunScope> = (
  scope: TScope & { readonly signal: AbortSignal },
) => LanguageModel | Promise<LanguageModel>

/** Tools by name: those of Verbatim's `tool()`, and those of the AI SDK. */
export type Tools = readonly Tool[] | { readonly [name: string]: Tool | ToolSet[string] }

const ms = z.int().positive()
const Model = z.looseObject({
  specificationVersion: z.enum(['v2', 'v3', 'v4']),
  provider: z.string(),
  modelId: z.string(),
})
const dollars = z.number().nonnegative()
const Timeouts = z.strictObject({ firstTokenMs: ms.optional(), idleMs: ms.optional(), totalMs: ms.optional() })
const TokenPrices = z.strictObject({ input: dollars, output: dollars, cacheRead: dollars, cacheWrite: dollars })
const Continuation = z.strictObject({
  maxContinuations: z.int().min(0).max(100).optional(),
  maxOutputTokens: z.int().positive().optional(),
  maxCost: z.strictObject({ usd: z.number().positive(), prices: TokenPrices }).optional(),
})

/** What the AI SDK passes on to the model with each call. */
type CallSettings = Omit<LanguageModelCallOptions, 'maxOutputTokens'>
const CallSettings = z.strictObject({
  temperature: z.number().optional(),
  topP: z.number().optional(),
  topK: z.number().optional(),
  presencePenalty: z.number().optional(),
  frequencyPenalty: z.number().optional(),
  stopSequences: z.array(z.string()).optional(),
  seed: z.int().optional(),
  reasoning: z.enum(['provider-default', 'none', 'minimal', 'low', 'medium', 'high', 'xhigh', 'max']).optional(),
})

/** Settings of {@link aiSdk}; each default says why. */
export const AgentOptions = z
  .strictObject({
    /** The agent's name in sessions and runs. */
    id: AgentId,
    /** A model of any provider of the AI SDK, the id of one at its gateway, or a function that answers it for each run. */
    model: z.custom<LanguageModel | ModelOf>(isModel, 'Must be a language model of the AI SDK'),
    /** The system prompt, or a function that makes it for each run. */
    system: z.union([z.string().min(1), z.custom<SystemPrompt>(isFunction)]).optional(),
    /** What callers may give beside the prompt, see `Agent.input`. The model receives it only through `system` and tools. @default nothing */
    input: z.custom<z.ZodType>(isSchema, 'must be a zod schema').optional(),
    /** What the tools may emit, by name, see `Agent.data`. @default any name, any JSON */
    data: z.record(z.string(), z.custom<z.ZodType>(isSchema, 'must be a zod schema')).optional(),
    /**
     * What the model may call: a list of `tool()`s, or a record that may hold tools of the AI SDK too. Of those, the ones that the
     * provider runs need no `execute`; one that wants an approval is refused. @default none
     */
    tools: z.custom<Tools>(isObject).default([]),
    /**
     * A schema of JSON values that the answer must be, by the model's structured outputs. It is checked before the run completes, see
     * `Agent.output`. @default the answer is prose
     */
    output: z.custom<z.ZodType>(isSchema, 'must be a zod schema').optional(),
    /** Tokens of one model call. @default the provider's own */
    maxOutputTokens: z.int().positive().optional(),
    /** Passed on to the model: temperature, stop sequences, the effort of reasoning. @default the provider's own */
    settings: z
      .custom<CallSettings>((value) => CallSettings.safeParse(value).success, 'Has a setting that is unknown or wrong')
      .default({}),
    /** Options of one provider, as the AI SDK takes them: `{ openai: { store: false } }`. @default none */
    providerOptions: z.record(z.string(), z.record(z.string(), z.json())).optional(),
    /** Headers of each request. @default none */
    headers: z.record(z.string(), z.string()).optional(),
    /** Tokens that a request and its answer may have together. A provider that takes less says so, and the agent learns it. @default 128_000 */
    contextTokens: z.int().min(1_000).default(128_000),
    /** Called when old turns are left out because they no longer fit, oldest first: the text that it answers takes their place. @default nothing does */
    summarize: z.custom<Summarize>(isFunction).optional(),
    /** Model calls of one run. @default 16, an end to a model that calls tools for ever */
    maxCycles: z.int().min(1).max(1_000).default(16),
    /** Retries of one model call before its first content; the AI SDK's own are off, because a follower must see them. @default 4 */
    maxRetries: z.int().min(0).max(100).default(4),
    /** For one call of one tool. @default 60_000 */
    toolTimeoutMs: ms.default(60_000),
    /** How long a run waits for this agent; what is left out is the server's own setting. */
    timeouts: Timeouts.optional(),
    /** Newest messages that this agent is given; left out, the server's own setting. */
    maxHistoryMessages: z.int().min(1).max(1_000).optional(),
    /** What becomes of an answer whose process was lost; "continue" starts a run that goes on from it. @default "interrupt" */
    onCrash: z.enum(['interrupt', 'continue']).default('interrupt'),
    /** What such runs may use together for one answer. @default 3 runs, 200_000 output tokens, no bound on the cost */
    continuation: Continuation.optional(),
    /** Receives what goes wrong: names of tools and errors, never what they were given. @default silent */
    logger: z.custom<Logger>(isObject).default(silentLogger),
    /** For tests. @default the machine's clock */
    clock: z.custom<Clock>(isObject).default(systemClock),
    /** Spreads retries: a number from 0 to 1. @default a random one */
    random: z.custom<() => number>(isFunction).default(() => randomFraction),
  })
  .refine(({ maxOutputTokens = 0, contextTokens }) => maxOutputTokens < contextTokens, {
    error: 'must leave tokens for the conversation: maxOutputTokens under contextTokens',
    path: ['maxOutputTokens'],
  })

/** {@link AgentOptions} as given. */
export type AgentOptionsInput = z.input<typeof AgentOptions>
export type AgentOptions = z.infer<typeof AgentOptions>

/** The options with the model and the system prompt of one run. */
export type RunOptions = Omit<AgentOptions, 'system' | 'model'> & {
  readonly system: string | undefined
  readonly model: LanguageModel
}

/** @throws VerbatimError `INVALID_CONFIGURATION` naming the option */
export function parseAgentOptions(input: AgentOptionsInput): AgentOptions {
  const parsed = AgentOptions.safeParse(input)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw misconfigured(issue?.path.join('.') ?? 'options', issue?.message ?? 'is wrong')
}

export function misconfigured(field: string, message: string): VerbatimError {
  return new VerbatimError('INVALID_CONFIGURATION', `aiSdk(): ${field} ${message}`, { data: { field } })
}

/** The options for a run. @throws what the caller's functions throw; the signal's reason when it aborts */
export async function withRun(options: AgentOptions, run: RunScope, signal: AbortSignal): Promise<RunOptions> {
  const { runId, sessionId, principal, session, input } = run
  const scope = { runId, sessionId, principal, session, input, signal }
  const { system, model } = options
  const made = await raceSignal(
    Promise.all([
      typeof system === 'function' ? system(scope) : system,
      typeof model === 'function' ? model(scope) : model,
    ]),
    signal,
  )
  const [prompt, chosen] = made
  return { ...options, system: prompt === undefined || isBlank(prompt) ? undefined : prompt, model: chosen }
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function isFunction(value: unknown): boolean {
  return typeof value === 'function'
}

function isSchema(value: unknown): boolean {
  return isObject(value) && value instanceof Object && 'safeParseAsync' in value
}

function isModel(value: unknown): boolean {
  if (typeof value === 'string') return value !== ''
  return isFunction(value) || Model.safeParse(value).success
}
