/**
 * A stored conversation becomes one that the Messages API takes, whatever runs were cut, cancelled or trimmed away.
 * In: messages as we keep them (one assistant message may hold several model calls). Out: user and assistant messages in
 * turn, beginning and ending with a user message, every tool_use answered by the message behind it.
 */
import type {
  RedactedThinkingBlockParam,
  TextBlockParam,
  ThinkingBlockParam,
  ToolResultBlockParam,
  ToolUseBlockParam,
} from '@anthropic-ai/sdk/resources/messages'
import type { ContentBlock, JsonValue } from '../../contract/content-block.ts'
import type { Message, MessageRole } from '../../contract/message.ts'

/** What of a message matters to the model. */
export type Turn = Pick<Message, 'role' | 'content'>

/** A block as the API takes it; only the kinds that we store. */
type ClaudeBlock =
  | TextBlockParam
  | ThinkingBlockParam
  | RedactedThinkingBlockParam
  | ToolUseBlockParam
  | ToolResultBlockParam

export interface ClaudeMessage {
  readonly role: MessageRole
  readonly content: ClaudeBlock[]
}

export interface HistoryRules {
  /** False drops tool blocks: the API refuses them in a request that defines no tools. @default true */
  readonly keepsTools?: boolean
  /** False drops thinking: the API refuses it where thinking is disabled. @default true */
  readonly keepsThinking?: boolean
}

/** The conversation for the API; empty when no user said anything in it. */
export function toClaudeMessages(turns: readonly Turn[], rules: HistoryRules = {}): ClaudeMessage[] {
  const messages: ClaudeMessage[] = []
  for (const turn of turns) {
    for (const part of splitTurn(turn, rules)) append(messages, part)
  }
  const paired = pairTools(messages)
  // An answer at the end would be a prefill, which Claude 4.6 and later refuse.
  return paired.at(-1)?.role === 'assistant' ? paired.slice(0, -1) : paired
}

/** The parts of one stored message, by who says them to the API: a tool's result is the user's. */
function splitTurn(turn: Turn, rules: HistoryRules): ClaudeMessage[] {
  const parts: ClaudeMessage[] = []
  for (const block of turn.content) {
    const role = roleOf(block, turn.role)
    const param = toParam(block, rules)
    if (role === undefined || param === undefined) continue
    const last = parts.at(-1)
    if (last?.role === role) last.content.push(param)
    else parts.push({ role, content: [param] })
  }
  return parts
}

function roleOf(block: ContentBlock, turnRole: MessageRole): MessageRole | undefined {
  if (block.type === 'text') return turnRole
  if (block.type === 'tool_result') return 'user'
  return turnRole === 'assistant' ? 'assistant' : undefined
}

/** The block for the API; undefined when the API would refuse it. */
function toParam(block: ContentBlock, { keepsTools = true, keepsThinking = true }: HistoryRules) {
  switch (block.type) {
    case 'text':
      return block.text.trim() === '' ? undefined : ({ type: 'text', text: block.text } satisfies ClaudeBlock)
    case 'thinking':
      // Thinking that was cut has no signature yet.
      return keepsThinking && block.signature !== '' ? block : undefined
    case 'redacted_thinking':
      return keepsThinking && block.data !== '' ? block : undefined
    case 'tool_use':
      return keepsTools && isSendable(block) ? { ...block, input: toInputObject(block.input) } : undefined
    case 'tool_result':
      return keepsTools ? { ...block, content: toResultText(block) } : undefined
  }
}

function isSendable({ id, name }: { id: string; name: string }): boolean {
  return /^[A-Za-z0-9_-]+$/.test(id) && /^[A-Za-z0-9_-]{1,128}$/.test(name)
}

function toInputObject(input: JsonValue): JsonValue {
  return typeof input === 'object' && input !== null && !Array.isArray(input) ? input : { input }
}

/** The API takes an empty result, but not an empty error. */
function toResultText(block: { content: string; is_error: boolean }): string {
  return block.is_error && block.content.trim() === '' ? 'The tool failed' : block.content
}

/** Adds `message` behind `messages`, as part of the last one when both are of one role. */
function append(messages: ClaudeMessage[], message: ClaudeMessage): void {
  if (message.content.length === 0) return
  const last = messages.at(-1)
  if (last?.role !== message.role) {
    messages.push(message)
    return
  }
  const content = [...last.content, ...message.content]
  // Two answers made one are no longer what the model said, so its signed thinking does not hold for them.
  messages[messages.length - 1] = {
    role: last.role,
    content: last.role === 'assistant' ? content.filter((block) => !isThinking(block)) : content,
  }
}

function isThinking(block: ClaudeBlock): boolean {
  return block.type === 'thinking' || block.type === 'redacted_thinking'
}

/** Keeps a tool_use only with its result in the next message, and a result only with its tool_use in the one before. */
function pairTools(messages: readonly ClaudeMessage[]): ClaudeMessage[] {
  const paired: ClaudeMessage[] = []
  const usedIds = new Set<string>()
  let openIds: ReadonlySet<string> = new Set()
  for (const [at, message] of messages.entries()) {
    if (message.role === 'user') {
      append(paired, { role: 'user', content: [...resultsOf(message, openIds), ...textsOf(message)] })
      openIds = new Set()
    } else if (paired.length > 0) {
      const content = withAnsweredTools(message, resultIdsOf(messages[at + 1]), usedIds)
      append(paired, { role: 'assistant', content })
      openIds = new Set(content.flatMap((block) => (block.type === 'tool_use' ? [block.id] : [])))
    }
  }
  return paired
}

/** The results of the open tool calls, one each; the API wants them before any text. */
function resultsOf({ content }: ClaudeMessage, openIds: ReadonlySet<string>): ClaudeBlock[] {
  const left = new Set(openIds)
  return content.filter((block) => block.type === 'tool_result' && left.delete(block.tool_use_id))
}

function textsOf({ content }: ClaudeMessage): ClaudeBlock[] {
  return content.filter((block) => block.type === 'text')
}

function resultIdsOf(message: ClaudeMessage | undefined): ReadonlySet<string> {
  return new Set(message?.content.flatMap((block) => (block.type === 'tool_result' ? [block.tool_use_id] : [])))
}

function withAnsweredTools(
  { content }: ClaudeMessage,
  answeredIds: ReadonlySet<string>,
  usedIds: Set<string>,
): ClaudeBlock[] {
  const kept = content.filter((block) => {
    if (block.type !== 'tool_use') return true
    if (!answeredIds.has(block.id) || usedIds.has(block.id)) return false
    usedIds.add(block.id)
    return true
  })
  // The API refuses an answer that ends in thinking.
  return kept.slice(0, kept.findLastIndex((block) => !isThinking(block)) + 1)
}
