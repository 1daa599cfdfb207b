import type { Anthropic } from '@anthropic-ai/sdk'
import type { ThinkingConfigParam } from '@anthropic-ai/sdk/resources/messages'
import { z } from 'zod'
import { raceSignal } from '../../async/race-signal.ts'
import { isBlank } from '../../contract/blank.ts'
import { VerbatimError } from '../../contract/errors.ts'
import { AgentId } from '../../contract/identifiers.ts'
import type { Message } from '../../contract/message.ts'
import type { AgentRequest, RunScope } from '../../ports/agent.ts'
import type { Clock } from '../../ports/clock.ts'
import { silentLogger } from '../../ports/logger.ts'
import type { Logger } from '../../ports/logger.ts'
import { systemClock } from '../../engine/system-clock.ts'
import { canCompact, lacksOutputs, maxOutputTokensOf, whyThinkingRefused } from './model-rules.ts'
import { McpServer, ServerTool } from './provider-tools.ts'
import { randomFraction } from './retry-delay.ts'
import { toOutputFormat } from './to-output-format.ts'
import type { Tool } from './tool.ts'

/** What the agent needs of the SDK's client; its Bedrock and Vertex clients have it too. */
export type ClaudeClient = Pick<Anthropic, 'messages'>

/** What takes the place of the turns that no longer fit: text for the model, or nothing. */
export type Summarize = (
  left: readonly Message[],
  context: Pick<AgentRequest, 'sessionId' | 'runId'> & { readonly signal: AbortSignal },
) => string | undefined | Promise<string | undefined>

/** A system prompt made for each run: of who asks, in which session, with which input. Undefined for none. */
export type SystemPrompt<TScope extends object = RunScope> = (
  scope: TScope & { readonly signal: AbortSignal },
) => string | undefined | Promise<string | undefined>

const ms = z.int().positive()

const Timeouts = z.strictObject({ firstTokenMs: ms.optional(), idleMs: ms.optional(), totalMs: ms.optional() })
const ThinkingConfig = z.looseObject({ type: z.string(), budget_tokens: z.int().optional() })

const dollars = z.number().nonnegative()
const TokenPrices = z.strictObject({ input: dollars, output: dollars, cacheRead: dollars, cacheWrite: dollars })
const Continuation = z.strictObject({
  maxContinuations: z.int().min(0).max(100).optional(),
  maxOutputTokens: z.int().positive().optional(),
  maxCost: z.strictObject({ usd: z.number().positive(), prices: TokenPrices }).optional(),
})

/** Settings of {@link claude}; each default says why. */
export const ClaudeOptions = z
  .strictObject({
    /** The agent's name in sessions and runs. @default "claude" */
    id: AgentId.default('claude'),
    /** @default "claude-sonnet-5-5" */
    model: z.string().min(1).default('claude-sonnet-5-5'),
    /** Left out, the SDK looks for credentials where it always does (its environment variables and profiles). */
    apiKey: z.string().min(1).optional(),
    /** Another server of the same protocol. */
    baseURL: z.url({ protocol: /^https?$/ }).optional(),
    /**
     * The system prompt, or a function that makes it for each run. Where it differs from that of the run before, the provider reads the
     * conversation anew (its cache begins with it) and thinking of earlier answers is left out.
     */
    system: z.union([z.string().min(1), z.custom<SystemPrompt>((value) => typeof value === 'function')]).optional(),
    /** What callers may give beside the prompt, see `Agent.input`. The model receives it only through `system` and tools. @default nothing */
    input: z.custom<z.ZodType>(isSchema, 'must be a zod schema').optional(),
    /** What the tools may emit, by name, see `Agent.data`. @default any name, any JSON */
    data: z.record(z.string(), z.custom<z.ZodType>(isSchema, 'must be a zod schema')).optional(),
    /** What the model may call; see {@link tool}. @default none */
    tools: z.array(z.custom<Tool>(isTool, 'Make it with tool()')).default([]),
    /**
     * A `z.object` of JSON values that the answer must be, by the model's structured outputs. It is checked before the run completes:
     * `run.output` and the message's `output` hold it, and an answer that does not fit fails with `OUTPUT_INVALID`. @default the answer is prose
     */
    output: z.custom<z.ZodType>((value) => value instanceof z.ZodType, 'Must be a zod schema').optional(),
    /**
     * Tools that the provider runs itself: `'web_search'`, `'web_fetch'`, `'code_execution'` in the version that every model takes, or
     * the API's own definition, which is passed on as it is. Their calls and results stay in the answer. @default none
     */
    serverTools: z.array(ServerTool).default([]),
    /** MCP servers that the provider connects to and whose tools it runs ("MCP connector"). @default none */
    mcpServers: z.array(McpServer).default([]),
    /** Tokens of one model call, thinking included. @default 16_384, long answers and a little thinking */
    maxTokens: z.int().positive().default(16_384),
    /** Passed on as it is. Left out, the model's own default holds, with its text shown. */
    thinking: z.custom<ThinkingConfigParam>((value) => ThinkingConfig.safeParse(value).success).optional(),
    /** Tokens that a request and its answer may have together. @default what the model has; 200_000 for one that is not known */
    contextTokens: z.int().min(1_000).optional(),
    /**
     * Called when old turns are left out because they no longer fit, oldest first: the text that it answers takes their place.
     * The same turns should have the same text, or the model loses its thinking and the provider's cache. @default nothing does
     */
    summarize: z.custom<Summarize>((value) => typeof value === 'function').optional(),
    /**
     * Asks Claude for a summary when a conversation has come near to what a request holds, and sends it in the place of the turns
     * that it covers ("Compaction on demand"). The summary is kept in the answer, for the model alone. A provider that makes none
     * is not asked again. @default true where the model has it and there is no `summarize`: the turns would be lost without
     */
    compaction: z.boolean().optional(),
    /** Marks the system prompt and the end of the conversation for the provider's cache. @default true, a long session costs far less */
    cache: z.boolean().default(true),
    /** Model calls of one run. @default 16, an end to a model that calls tools for ever */
    maxCycles: z.int().min(1).max(1_000).default(16),
    /** Retries of one model call before its first content. @default 4: they wait 7.5 s at most in sum, and 3.75 s on average, unless the provider asks for more */
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
    /** An SDK client of your own in place of `apiKey` and `baseURL`. Its log level is yours: at "debug" it writes prompts. */
    client: z.custom<ClaudeClient>(isClient, 'Must be a client of @anthropic-ai/sdk').optional(),
    /** Told of tools that fail: their name and the error's, never what they were given. @default silent */
    logger: z.custom<Logger>(isObject).default(silentLogger),
    /** For tests. @default the machine's clock */
    clock: z.custom<Clock>(isObject).default(systemClock),
    /** Spreads retries: a number from 0 to 1. @default a random one */
    random: z.custom<() => number>((value) => typeof value === 'function').default(() => randomFraction),
  })
  .refine(({ client, apiKey, baseURL }) => client === undefined || (apiKey ?? baseURL) === undefined, {
    error: 'has credentials and an address of its own; leave apiKey and baseURL out',
    path: ['client'],
  })
  .refine(({ compaction, summarize }) => compaction !== true || summarize === undefined, {
    error: 'and summarize both take the place of old turns; leave one of them out',
    path: ['compaction'],
  })
  .refine(({ tools, serverTools }) => areDifferent([...tools, ...serverTools].map(nameOf)), {
    error: 'must have different names, those of serverTools included',
    path: ['tools'],
  })
  .refine(({ mcpServers }) => areDifferent(mcpServers.map(nameOf)), {
    error: 'must have different names',
    path: ['mcpServers'],
  })
  .refine(({ thinking, maxTokens }) => thinking?.type !== 'enabled' || thinking.budget_tokens < maxTokens, {
    error: 'must leave tokens for the answer: budget_tokens under maxTokens',
    path: ['thinking'],
  })
  .refine(({ maxTokens, contextTokens = Infinity }) => maxTokens < contextTokens, {
    error: 'must leave tokens for the conversation: maxTokens under contextTokens',
    path: ['maxTokens'],
  })
  .superRefine(({ model, thinking, maxTokens, output }, context) => {
    const misfit = output && whyNoOutput(model, output)
    if (misfit !== undefined) context.addIssue({ code: 'custom', message: misfit, path: ['output'] })
    const refused = thinking === undefined ? undefined : whyThinkingRefused(model, thinking.type)
    if (refused !== undefined) context.addIssue({ code: 'custom', message: refused, path: ['thinking'] })
    const most = maxOutputTokensOf(model) ?? Infinity
    if (maxTokens > most)
      context.addIssue({ code: 'custom', message: `is over the model's ${most}`, path: ['maxTokens'] })
  })

/** {@link ClaudeOptions} as given: everything may be left out. */
export type ClaudeOptionsInput = z.input<typeof ClaudeOptions>
export type ClaudeOptions = z.infer<typeof ClaudeOptions>

/** The options with the system prompt of one run. */
export type RunOptions = Omit<ClaudeOptions, 'system'> & { readonly system?: string | undefined }

/** `options` with the system prompt that they make for the run. @throws what the function throws; the signal's reason when it aborts */
export async function withSystem<TOptions extends ClaudeOptions>(
  options: TOptions,
  { runId, sessionId, principal, session, input }: RunScope,
  signal: AbortSignal,
): Promise<Omit<TOptions, 'system'> & Pick<RunOptions, 'system'>> {
  const { system, ...others } = options
  if (typeof system !== 'function') return { ...others, system }
  const made = await raceSignal(
    Promise.resolve(system({ runId, sessionId, principal, session, input, signal })),
    signal,
  )
  return { ...others, system: made === undefined || isBlank(made) ? undefined : made }
}

/** @throws VerbatimError `INVALID_CONFIGURATION` naming the option */
export function parseClaudeOptions(input: ClaudeOptionsInput): ClaudeOptions {
  const parsed = ClaudeOptions.safeParse(input)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = issue?.path.join('.') ?? 'options'
  throw new VerbatimError('INVALID_CONFIGURATION', `claude(): ${field} ${issue?.message ?? 'is wrong'}`, {
    data: { field },
  })
}

/** Why the model cannot be asked for `output`. */
function whyNoOutput(model: string, output: z.ZodType): string | undefined {
  if (lacksOutputs(model)) return 'is not for this model, which has no structured outputs'
  try {
    toOutputFormat(output)
    return undefined
  } catch (error) {
    return error instanceof Error ? error.message : 'is no schema of JSON'
  }
}

/** Whether Claude itself summarizes conversations that become too long. */
export function wantsCompaction({
  compaction,
  summarize,
  model,
}: Pick<ClaudeOptions, 'compaction' | 'summarize' | 'model'>): boolean {
  return (compaction ?? summarize === undefined) && canCompact(model)
}

function areDifferent(names: readonly string[]): boolean {
  return new Set(names).size === names.length
}

function nameOf(named: string | { readonly name: string }): string {
  return typeof named === 'string' ? named : named.name
}

function isObject(value: unknown): boolean {
  return typeof value === 'object' && value !== null
}

function isSchema(value: unknown): boolean {
  return isObject(value) && value instanceof Object && 'safeParseAsync' in value
}

function isTool(value: unknown): boolean {
  return z.looseObject({ name: z.string(), inputSchema: z.looseObject({}), execute: z.function() }).safeParse(value)
    .success
}

function isClient(value: unknown): boolean {
  return isObject(value) && value instanceof Object && 'messages' in value && isObject(value.messages)
}
