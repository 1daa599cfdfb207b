import type { MessageCreateParamsStreaming, TextBlockParam } from '@anthropic-ai/sdk/resources/messages'
import { VerbatimError } from '../../contract/errors.ts'
import type { ClaudeOptions } from './claude-options.ts'
import { toClaudeMessages } from './to-claude-messages.ts'
import type { ClaudeMessage, Turn } from './to-claude-messages.ts'

const cacheControl = { type: 'ephemeral' } as const

/**
 * One call of the Messages API that answers `turns`.
 *
 * @throws VerbatimError `INVALID_INPUT` when no user said anything in them
 */
export function toClaudeRequest(options: ClaudeOptions, turns: readonly Turn[]): MessageCreateParamsStreaming {
  const { model, maxTokens, system, tools, thinking, cache } = options
  const messages = toClaudeMessages(turns, {
    keepsTools: tools.length > 0,
    keepsThinking: thinking?.type !== 'disabled',
  })
  if (messages.length === 0) {
    throw new VerbatimError('INVALID_INPUT', 'There is no user message to answer', { data: { field: 'message' } })
  }
  return {
    stream: true,
    model,
    max_tokens: maxTokens,
    messages: cache ? withCachedEnd(messages) : messages,
    ...(system === undefined ? {} : { system: [toSystemBlock(system, cache)] }),
    ...(tools.length === 0 ? {} : { tools: tools.map(toToolParam) }),
    ...(thinking === undefined ? {} : { thinking }),
  }
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
