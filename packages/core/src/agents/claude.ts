/**
 * Claude as an agent, over Anthropic's own SDK.
 * In: the conversation. Out: the provider's stream in our words, retries and tool results included (see ports/agent.ts).
 */
import type { z } from 'zod'
import type { Agent, DataSchemas, RunScope, RunTimeouts, ScopeOf, TypedAgent } from '../ports/agent.ts'
import { answerRequest } from './claude/answer-request.ts'
import { parseClaudeOptions, wantsCompaction } from './claude/claude-options.ts'
import type { ClaudeClient, ClaudeOptions, ClaudeOptionsInput, SystemPrompt } from './claude/claude-options.ts'
import { fixedBytesOf } from './claude/history.ts'
import { createCompactionSwitch } from './claude/compact-history.ts'
import { contextTokensOf } from './claude/model-rules.ts'
import { refusalOfFiles } from './claude/refusal-of-files.ts'
import { loadSdk, requireSdk } from './claude/sdk.ts'
import { createTokenBudget } from './claude/token-budget.ts'

export type { ClaudeClient, ClaudeOptionsInput, Summarize, SystemPrompt } from './claude/claude-options.ts'
export type { McpServer, McpToken, ServerTool } from './claude/provider-tools.ts'
export { mcpTools, type McpClient, type McpToolsOptions } from './mcp-tools.ts'
export { ToolError } from './claude/tool-error.ts'
export { resultBlocks, type ResultBlocks } from './claude/result-blocks.ts'
export {
  tool,
  type Tool,
  type ToolContext,
  type ToolDefinition,
  type ToolInputSchema,
  type ToolOutput,
} from './claude/tool.ts'

type Schema = z.ZodType | undefined

/** What {@link claude} takes, with the types of its id, its input and its output. */
export interface ClaudeAgentOptions<
  TId extends string,
  TInput extends Schema,
  TOutput extends Schema,
  TData extends DataSchemas | undefined,
> extends Omit<ClaudeOptionsInput, 'id' | 'system' | 'input' | 'output' | 'data'> {
  /** The agent's name in sessions and runs. @default "claude" */
  readonly id?: TId | undefined
  /** The system prompt, or what makes it for each run: of who asks, in which session, with which input. */
  readonly system?: string | SystemPrompt<ScopeOf<RunScope, TInput>> | undefined
  /** What callers may give beside the prompt, see `Agent.input`. The model receives it only through `system` and tools. @default nothing */
  readonly input?: TInput | undefined
  /**
   * A `z.object` of JSON values that the answer must be, by the model's structured outputs: `run.output`.
   *
   * @default the answer is prose
   */
  readonly output?: TOutput | undefined
  /** What the tools may emit, by name, see `Agent.data`. @default any name, any JSON */
  readonly data?: TData | undefined
}

/**
 * An agent that answers with a Claude model. It retries a model call only while nothing of it was seen, runs tools, and
 * stops the provider's request as soon as its signal aborts.
 *
 * @example
 * const agent = claude({ apiKey, system: 'You are brief.', tools: [weather] })
 * @throws VerbatimError `INVALID_CONFIGURATION` naming the option that is wrong, or when @anthropic-ai/sdk is not installed
 */
export function claude<
  const TId extends string = 'claude',
  TInput extends Schema = undefined,
  TOutput extends Schema = undefined,
  TData extends DataSchemas | undefined = undefined,
>(options: ClaudeAgentOptions<TId, TInput, TOutput, TData> = {}): TypedAgent<TId, TInput, TOutput, TData> {
  // The types are more exact than what is parsed: the id and the schemas are those that were given.
  return createClaude(parseClaudeOptions(options as ClaudeOptionsInput)) as TypedAgent<TId, TInput, TOutput, TData>
}

function createClaude(options: ClaudeOptions): Agent {
  const connect = connectionOf(options)
  const {
    id,
    input: inputSchema,
    output,
    data,
    timeouts,
    maxHistoryMessages,
    onCrash,
    continuation,
    model,
    maxTokens,
  } = options
  const contextTokens = options.contextTokens ?? contextTokensOf(model)
  const budget = createTokenBudget({ contextTokens, maxTokens })
  const compactions = createCompactionSwitch(wantsCompaction(options))
  // A system prompt that is made for each run is not known yet.
  const { system } = options
  const fixedBytes = fixedBytesOf({ ...options, system: typeof system === 'string' ? system : undefined })
  return Object.freeze({
    id,
    maxPromptBytes: () => Math.max(0, budget.maxBytes() - fixedBytes),
    refusalOf: (files) => refusalOfFiles(files, contextTokens),
    ...(output === undefined ? {} : { output }),
    ...(data === undefined ? {} : { data }),
    onCrash,
    ...(inputSchema === undefined ? {} : { input: inputSchema }),
    ...(continuation === undefined ? {} : { continuation }),
    ...(timeouts === undefined ? {} : { timeouts: definedTimeouts(timeouts) }),
    ...(maxHistoryMessages === undefined ? {} : { maxHistoryMessages }),
    stream: (request, signal) => answerRequest({ ...options, connect, budget, compactions }, request, signal),
  } satisfies Agent)
}

/** The client, made by the first answer. */
function connectionOf(options: ClaudeOptions): () => Promise<ClaudeClient> {
  const { client } = options
  if (client !== undefined) return () => Promise.resolve(client)
  requireSdk()
  let made: Promise<ClaudeClient> | undefined
  return async () => await (made ??= createClient(options))
}

async function createClient({ apiKey, baseURL }: ClaudeOptions): Promise<ClaudeClient> {
  const { Anthropic } = await loadSdk()
  return new Anthropic({
    maxRetries: 0,
    // The SDK would print frames that it cannot parse, which are parts of an answer.
    logLevel: 'off',
    // Its own spans would count each call and its tokens a second time, see AgentTrace.
    openTelemetry: false,
    ...(apiKey === undefined ? {} : { apiKey }),
    ...(baseURL === undefined ? {} : { baseURL }),
  })
}

function definedTimeouts({ firstTokenMs, idleMs, totalMs }: NonNullable<ClaudeOptions['timeouts']>) {
  return {
    ...(firstTokenMs === undefined ? {} : { firstTokenMs }),
    ...(idleMs === undefined ? {} : { idleMs }),
    ...(totalMs === undefined ? {} : { totalMs }),
  } satisfies Partial<RunTimeouts>
}
