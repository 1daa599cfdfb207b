import type {
  MessageCreateParamsStreaming,
  TextBlockParam,
  ThinkingConfigParam,
  ToolUnion,
} from '@anthropic-ai/sdk/resources/messages'
import { VerbatimError } from '../../contract/errors.ts'
import type { ClaudeBlock, ClaudeMessage, Conversation, Turn } from './claude-message.ts'
import type { ClaudeClient, RunOptions } from './claude-options.ts'
import { bindCompaction, chainAfter, compactionBeta } from './compaction.ts'
import type { Identity } from './compaction.ts'
import { fingerprintOf } from './fingerprint.ts'
import { defaultThinking } from './model-rules.ts'
import { toOutputFormat } from './to-output-format.ts'
import { mcpBeta, toProviderToolParams } from './provider-tools.ts'
import type { McpServerParam, ProviderTools } from './provider-tools.ts'
import { toClaudeMessages } from './to-claude-messages.ts'
import type { MediaRules } from './to-claude-messages.ts'

const cacheControl = { type: 'ephemeral' } as const

export interface ClaudeRequest {
  readonly body: MessageCreateParamsStreaming
  /** The JSON of `body`, with the input of each call as the model wrote it. */
  readonly json: string
  /** True when `json` says more than `body` can. */
  readonly hasExactInput: boolean
  /** True when it holds what only the provider that made it may take back. */
  readonly hasProviderBlocks: boolean
  /** What it counts against the budget: its bytes, but for those of files that the model does not read as text. */
  readonly weight: number
  readonly betas: readonly string[]
  /** What the thinking of the answer is bound to: a fingerprint of the model, the system prompt, the tools and the messages. */
  readonly boundTo: string
  /** What a summary of the messages is bound to. */
  readonly compactionBoundTo: string
}

export interface RequestRules {
  /** False for a provider that refused the thinking which this conversation holds. */
  readonly keepsThinking: boolean
  /** False for a provider that refused the inputs of tools as the model wrote them. */
  readonly keepsExactInput: boolean
  /** False for a provider that refused blocks of a provider, or citations. */
  readonly keepsProviderBlocks: boolean
  readonly media: MediaRules
  readonly mcpServers: readonly McpServerParam[]
  /** Where the provider ran code for this answer before. */
  readonly container: string | undefined
}

type RequestOptions = RunOptions & { readonly client: ClaudeClient }

/**
 * One call of the Messages API that answers a conversation.
 *
 * @throws VerbatimError `INVALID_INPUT` when no user said anything in it
 */
export function toClaudeRequest(
  options: RequestOptions,
  conversation: Conversation,
  rules: RequestRules,
): ClaudeRequest {
  return toRequest(options, conversation, { ...rules, compacts: false })
}

/** A summary and what the model thinks before it; "allow several thousand tokens". */
const minCompactionTokens = 8_192

/** An answer that paused without a word for its provider goes on by a user message: alone at the end it would be a prefill. */
export const pausePrompt: Turn = { role: 'user', content: [{ type: 'text', text: 'Continue.' }] }

/** The call that asks for a summary of a conversation, in the place of an answer to it. */
export function toCompactionRequest(
  options: RequestOptions,
  conversation: Conversation,
  rules: RequestRules,
): ClaudeRequest {
  const maxTokens = Math.max(options.maxTokens, minCompactionTokens)
  return toRequest({ ...options, maxTokens, output: undefined }, conversation, { ...rules, compacts: true })
}

function toRequest(
  options: RequestOptions,
  { turns, compaction, isPaused = false }: Conversation,
  rules: RequestRules & { readonly compacts: boolean },
): ClaudeRequest {
  const { keepsThinking, keepsExactInput, keepsProviderBlocks, media, compacts } = rules
  const thinking = options.thinking ?? defaultThinking(options.model)
  const identity = identityOf(options)
  const bound = toClaudeMessages(isPaused && !keepsProviderBlocks ? [...turns, pausePrompt] : turns, {
    keepsTools: hasTools(options),
    keepsExactInput,
    keepsProviderBlocks,
    // The API has either structured outputs or citations.
    media: options.output === undefined ? media : { ...media, citesDocuments: false },
    isPaused: isPaused && keepsProviderBlocks,
    keepsThinking: keepsThinking && thinking?.type !== 'disabled',
    start: { seed: identity.seed, chain: compaction && chainAfter(compaction, identity) },
    keepsEnd: compacts,
  })
  const { messages, texts, hasExactInput, hasProviderBlocks, unreadBytes, boundTo, chain } = bound
  if (messages.length === 0) {
    throw new VerbatimError('INVALID_INPUT', 'There is no user message to answer', { data: { field: 'message' } })
  }
  const marked = options.cache ? withCachedPrompt(messages, texts) : { messages, texts }
  const summary = compaction === undefined ? [] : [{ role: 'assistant', content: [compaction.sent] }]
  const body = {
    ...toFixedFields(options, thinking),
    ...toMcpFields(rules),
    // The types of the SDK's stable API do not know the beta's block.
    messages: [...summary, ...marked.messages] as MessageCreateParamsStreaming['messages'],
    ...(compacts ? { compaction: { type: 'summarize' } } : {}),
  }
  const json = toJson(body, [...summary.map((message) => JSON.stringify(message)), ...marked.texts])
  const usesMcp = rules.mcpServers.length > 0 || json.includes('"type":"mcp_')
  return {
    body,
    json,
    hasExactInput,
    hasProviderBlocks,
    weight: Buffer.byteLength(json) - unreadBytes,
    betas: [...(compacts || compaction !== undefined ? [compactionBeta] : []), ...(usesMcp ? [mcpBeta] : [])],
    boundTo,
    compactionBoundTo: bindCompaction(identity, chain),
  }
}

/** All but the conversation. */
function toFixedFields(options: RequestOptions, thinking: ThinkingConfigParam | undefined) {
  const { model, maxTokens, system, cache, output } = options
  const tools = toToolParams(options)
  return {
    stream: true as const,
    model,
    max_tokens: maxTokens,
    ...(system === undefined ? {} : { system: [toSystemBlock(system, cache)] }),
    ...(tools.length === 0 ? {} : { tools }),
    ...(thinking === undefined ? {} : { thinking }),
    ...(output === undefined ? {} : { output_config: { format: toOutputFormat(output) } }),
  }
}

/** Who asks: its provider, which signs thinking and summaries, and all that stands before a conversation. */
export function identityOf(options: RequestOptions): Identity {
  const { client, model, system } = options
  const provider = fingerprintOf(addressOf(client))
  return { provider, seed: fingerprintOf(provider, JSON.stringify([model, system ?? null, toToolParams(options)])) }
}

/** As JSON.stringify writes it, but for the messages. */
function toJson(body: MessageCreateParamsStreaming, messages: readonly string[]): string {
  const fields = Object.entries(body).map(([key, value]) => {
    return `${JSON.stringify(key)}:${key === 'messages' ? `[${messages.join(',')}]` : JSON.stringify(value)}`
  })
  return `{${fields.join(',')}}`
}

function addressOf(client: object): string {
  return 'baseURL' in client && typeof client.baseURL === 'string' ? client.baseURL : ''
}

function toSystemBlock(text: string, isCached: boolean): TextBlockParam {
  return { type: 'text', text, ...(isCached ? { cache_control: cacheControl } : {}) }
}

/** Whether the model may call anything: the API refuses calls and results in a request that defines no tool. */
export function hasTools({ tools, serverTools, mcpServers }: ProviderTools & Pick<RunOptions, 'tools'>): boolean {
  return tools.length + serverTools.length + mcpServers.length > 0
}

/** The tools of the agent, then those that the provider runs. */
function toToolParams(options: RunOptions): ToolUnion[] {
  // The API's own definitions, which the caller may know better than the types of this SDK.
  return [...options.tools.map(toToolParam), ...(toProviderToolParams(options) as ToolUnion[])]
}

/** Fields of betas, which the types of the stable API do not know. */
function toMcpFields({ mcpServers, container }: RequestRules): object {
  return {
    ...(mcpServers.length === 0 ? {} : { mcp_servers: mcpServers }),
    ...(container === undefined ? {} : { container }),
  }
}

function toToolParam({ name, description, inputSchema }: RunOptions['tools'][number]) {
  return { name, description, input_schema: inputSchema }
}

/**
 * Marks the end of what the user said last, so that the next call pays for what is new only. A request for a summary finds there
 * what the call before it has written.
 */
function withCachedPrompt(messages: readonly ClaudeMessage[], texts: readonly string[]) {
  const at = messages.findLastIndex(({ role }) => role === 'user')
  const { role = 'user', content = [] } = messages[at] ?? {}
  const last = content.at(-1)
  if (last === undefined || !takesMark(last)) return { messages, texts }
  const marked = { role, content: [...content.slice(0, -1), { ...last, cache_control: cacheControl }] }
  return { messages: messages.with(at, marked), texts: texts.with(at, JSON.stringify(marked)) }
}

type Markable = Extract<ClaudeBlock, { cache_control?: unknown }> & {
  readonly type: 'text' | 'tool_result' | 'image' | 'document'
}

function takesMark(block: ClaudeBlock): block is Markable {
  return block.type === 'text' || block.type === 'tool_result' || block.type === 'image' || block.type === 'document'
}
