import type { MessageCreateParamsStreaming, TextBlockParam } from '@anthropic-ai/sdk/resources/messages'
import { VerbatimError } from '../../contract/errors.ts'
import type { ClaudeClient, ClaudeOptions } from './claude-options.ts'
import { defaultThinking } from './model-rules.ts'
import type { ClaudeMessage, Turn } from './claude-message.ts'
import { toClaudeMessages } from './to-claude-messages.ts'

const cacheControl = { type: 'ephemeral' } as const

export interface ClaudeRequest {
  readonly body: MessageCreateParamsStreaming
  /** The JSON of `body`, with the input of each call as the model wrote it. */
  readonly json: string
  /** True when `json` says more than `body` can. */
  readonly hasExactInput: boolean
  /** What the thinking of the answer is bound to: a fingerprint of the model, the system prompt, the tools and the messages. */
  readonly boundTo: string
}

export interface RequestRules {
  /** False for a provider that refused the thinking which this conversation holds. */
  readonly keepsThinking: boolean
  /** False for a provider that refused the inputs of tools as the model wrote them. */
  readonly keepsExactInput: boolean
}

/**
 * One call of the Messages API that answers `turns`.
 *
 * @throws VerbatimError `INVALID_INPUT` when no user said anything in them
 */
export function toClaudeRequest(
  options: ClaudeOptions & { readonly client: ClaudeClient },
  turns: readonly Turn[],
  { keepsThinking, keepsExactInput }: RequestRules = { keepsThinking: true, keepsExactInput: true },
): ClaudeRequest {
  const { model, maxTokens, system, tools, cache } = options
  const thinking = options.thinking ?? defaultThinking(model)
  const toolParams = tools.map(toToolParam)
  const { messages, texts, hasExactInput, boundTo } = toClaudeMessages(turns, {
    keepsTools: tools.length > 0,
    keepsExactInput,
    keepsThinking: keepsThinking && thinking?.type !== 'disabled',
    seed: JSON.stringify([addressOf(options.client), model, system ?? null, toolParams]),
  })
  const end = messages.at(-1)
  if (end === undefined) {
    throw new VerbatimError('INVALID_INPUT', 'There is no user message to answer', { data: { field: 'message' } })
  }
  const last = cache ? withCachedEnd(end) : end
  const body: MessageCreateParamsStreaming = {
    stream: true,
    model,
    max_tokens: maxTokens,
    messages: [...messages.slice(0, -1), last],
    ...(system === undefined ? {} : { system: [toSystemBlock(system, cache)] }),
    ...(toolParams.length === 0 ? {} : { tools: toolParams }),
    ...(thinking === undefined ? {} : { thinking }),
  }
  return { body, json: toJson(body, [...texts.slice(0, -1), JSON.stringify(last)]), hasExactInput, boundTo }
}

/** As JSON.stringify writes it, but for the messages. The last one is a user's, which has no inputs of tools. */
function toJson(body: MessageCreateParamsStreaming, messages: readonly string[]): string {
  const fields = Object.entries(body).map(([key, value]) => {
    return `${JSON.stringify(key)}:${key === 'messages' ? `[${messages.join(',')}]` : JSON.stringify(value)}`
  })
  return `{${fields.join(',')}}`
}

/** Who signs the thinking: another provider does not take it. */
function addressOf(client: object): string {
  return 'baseURL' in client && typeof client.baseURL === 'string' ? client.baseURL : ''
}

function toSystemBlock(text: string, isCached: boolean): TextBlockParam {
  return { type: 'text', text, ...(isCached ? { cache_control: cacheControl } : {}) }
}

function toToolParam({ name, description, inputSchema }: ClaudeOptions['tools'][number]) {
  return { name, description, input_schema: inputSchema }
}

/** Marks the last block, so that the next call pays for what is new only. */
function withCachedEnd({ role, content }: ClaudeMessage): ClaudeMessage {
  const last = content.at(-1)
  if (last?.type !== 'text' && last?.type !== 'tool_result') return { role, content }
  return { role, content: [...content.slice(0, -1), { ...last, cache_control: cacheControl }] }
}
