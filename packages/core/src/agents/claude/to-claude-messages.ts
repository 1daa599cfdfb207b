/**
 * A stored conversation becomes one that the Messages API takes, whatever runs were cut, cancelled or trimmed away.
 * In: messages as we keep them (one assistant message may hold several model calls). Out: user and assistant messages in
 * turn, beginning and ending with a user message, every tool_use answered by the next message, thinking only where it holds.
 */
import { isBlank } from '../../contract/blank.ts'
import { textOfResult } from '../../contract/content-block.ts'
import type { ContentBlock, ToolResultBlock } from '../../contract/content-block.ts'
import type { MessageRole } from '../../contract/message.ts'
import { bindThinking } from './bind-thinking.ts'
import type { BindingStart } from './bind-thinking.ts'
import { isThinking } from './claude-message.ts'
import type { DraftBlock, DraftMessage, Turn } from './claude-message.ts'
import { toExactInput } from './exact-input.ts'
import { pairTools } from './pair-tools.ts'

export interface HistoryRules {
  /** False drops tool blocks: the API refuses them in a request that defines no tools. @default true */
  readonly keepsTools?: boolean
  /** False drops thinking: the API refuses it where thinking is disabled. @default true */
  readonly keepsThinking?: boolean
  /** False sends the inputs of tools as JavaScript holds them: a provider refused them as they were written. @default true */
  readonly keepsExactInput?: boolean
  /** What else thinking is bound to. */
  readonly start?: BindingStart
  /** True keeps an answer at the end, for a request that no answer follows. @default false */
  readonly keepsEnd?: boolean
}

/** The conversation for the API, and the fingerprint that its answer's thinking is bound to; empty when no user said anything. */
export function toClaudeMessages(turns: readonly Turn[], rules: HistoryRules = {}) {
  const drafts: DraftMessage[] = []
  for (const turn of turns) {
    for (const part of splitTurn(turn, rules)) append(drafts, part)
  }
  const paired: DraftMessage[] = []
  for (const message of pairTools(drafts)) append(paired, withoutEndingThinking(message))
  // An answer at the end would be a prefill, which Claude 4.6 and later refuse.
  const isPrefill = paired.at(-1)?.role === 'assistant' && rules.keepsEnd !== true
  return bindThinking(isPrefill ? paired.slice(0, -1) : paired, rules.start ?? { seed: '' })
}

/** The parts of one stored message, by who says them to the API: a tool's result is the user's. */
function splitTurn(turn: Turn, rules: HistoryRules): DraftMessage[] {
  const parts: { readonly role: MessageRole; readonly blocks: DraftBlock[] }[] = []
  let current: MessageRole | undefined
  let isExact = true
  for (const block of turn.content) {
    const role = roleOf(block, turn.role)
    if (role === undefined) continue
    // Two model calls whose results are left out become one message, which is none of what the model said.
    if (role !== current) isExact = parts.at(-1)?.role !== role
    current = role
    const draft = toDraft(block, rules)
    isExact &&= draft !== undefined
    if (draft === undefined) continue
    const last = parts.at(-1)
    if (last?.role === role) last.blocks.push({ ...draft, isExact })
    else parts.push({ role, blocks: [{ ...draft, isExact }] })
  }
  return parts
}

function roleOf(block: ContentBlock, turnRole: MessageRole): MessageRole | undefined {
  if (block.type === 'text') return turnRole
  if (block.type === 'tool_result') return 'user'
  if (block.type === 'compaction') return undefined // it has its own place, see to-claude-request.ts
  return turnRole === 'assistant' ? 'assistant' : undefined
}

/**
 * The block for the API; undefined when the API would refuse it. It refuses half of a character too, and storage does not give it
 * back: what was just said goes as it will be stored.
 */
function toDraft(block: ContentBlock, rules: HistoryRules): Omit<DraftBlock, 'isExact'> | undefined {
  const { keepsTools = true, keepsThinking = true, keepsExactInput = true } = rules
  switch (block.type) {
    case 'text':
      return isBlank(block.text) ? undefined : { param: { type: 'text', text: block.text.toWellFormed() } }
    case 'thinking': {
      const { type, signature, boundTo } = block
      const thinking = block.thinking.toWellFormed()
      // Thinking that was cut has no signature yet.
      return keepsThinking && signature !== '' ? { param: { type, thinking, signature }, boundTo } : undefined
    }
    case 'redacted_thinking': {
      const { type, data, boundTo } = block
      return keepsThinking && data !== '' ? { param: { type, data }, boundTo } : undefined
    }
    case 'tool_use': {
      const { type, id, name } = block
      const { value, text } = toExactInput(block)
      const exact = keepsExactInput ? { inputText: text } : {}
      return keepsTools ? { param: { type, id, name, input: value }, ...exact } : undefined
    }
    case 'tool_result':
      return keepsTools ? { param: { ...block, content: toResultText(block) } } : undefined
    default:
      return undefined
  }
}

/** The API takes an empty result, but not an empty error. */
function toResultText(block: ToolResultBlock): string {
  const text = textOfResult(block.content)
  return block.is_error && isBlank(text) ? 'The tool failed' : text.toWellFormed()
}

/** Adds `message` after `messages`, as part of the last one when both are of one role. */
function append(messages: DraftMessage[], message: DraftMessage): void {
  if (message.blocks.length === 0) return
  const last = messages.at(-1)
  if (last?.role !== message.role) {
    messages.push(message)
    return
  }
  const blocks = [...last.blocks, ...message.blocks]
  // Two answers made one are no longer what the model said, so its signed thinking does not hold for them.
  messages[messages.length - 1] = {
    role: last.role,
    blocks: last.role === 'assistant' ? blocks.filter(({ param }) => !isThinking(param)) : blocks,
  }
}

/** The API refuses an answer that ends in thinking. */
function withoutEndingThinking({ role, blocks }: DraftMessage): DraftMessage {
  return { role, blocks: blocks.slice(0, blocks.findLastIndex(({ param }) => !isThinking(param)) + 1) }
}
