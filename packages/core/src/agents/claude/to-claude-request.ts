import type { MessageCreateParamsStreaming, TextBlockParam } from '@anthropic-ai/sdk/resources/messages'
import { VerbatimError } from '../../contract/errors.ts'
import type { ClaudeClient, ClaudeOptions } from './claude-options.ts'
import { defaultThinking } from './model-rules.ts'
import type { ClaudeMessage, Turn } from './claude-message.ts'
import { toClaudeMessages } from './to-claude-messages.ts'

const cacheControl = { type: 'ephemeral' } as const

export interface ClaudeRequest {
  readonly body: MessageCreateParamsStreaming
  /** What the thinking of the answer is bound to: a fingerprint of the model, the system prompt, the tools and the messages. */
  readonly boundTo: string
}

export interface RequestRules {
  /** False for a provider that refused the thinking which this conversation holds. */
  readonly keepsThinking: boolean
}

/**
 * One call of the Messages API that answers `turns`.
 *
 * @throws VerbatimError `INVALID_INPUT` when no user said anything in them
 */
export function toClaudeRequest(
  options: ClaudeOptions & { readonly client: ClaudeClient },
  turns: readonly Turn[],
  { keepsThinking }: RequestRules = { keepsThinking: true },
): ClaudeRequest {
  const { model, maxTokens, system, tools, cache } = options
  const thinking = options.thinking ?? defaultThinking(model)
  const toolParams = tools.map(toToolParam)
  const { messages, boundTo } = toClaudeMessages(turns, {
    keepsTools: tools.length > 0,
    keepsThinking: keepsThinking && thinking?.type !== 'disabled',
    seed: JSON.stringify([addressOf(options.client), model, system ?? null, toolParams]),
  })
  if (messages.length === 0) {
    throw new VerbatimError('INVALID_INPUT', 'There is no user message to answer', { data: { field: 'message' } })
  }
  const body: MessageCreateParamsStreaming = {
    stream: true,
    model,
    max_tokens: maxTokens,
    messages: cache ? withCachedEnd(messages) : messages,
    ...(system === undefined ? {} : { system: [toSystemBlock(system, cache)] }),
    ...(toolParams.length === 0 ? {} : { tools: toolParams }),
    ...(thinking === undefined ? {} : { thinking }),
  }
  return { body, boundTo }
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
function withCachedEnd(messages: readonly ClaudeMessage[]): ClaudeMessage[] {
  return messages.map((message, at) => (at === messages.length - 1 ? withCachedLastBlock(message) : message))
}

function withCachedLastBlock({ role, content }: ClaudeMessage): ClaudeMessage {
  const last = content.at(-1)
  if (last?.type !== 'text' && last?.type !== 'tool_result') return { role, content }
  return { role, content: [...content.slice(0, -1), { ...last, cache_control: cacheControl }] }
}
