/**
 * A stored conversation becomes one that the Messages API takes, whatever runs were cut, cancelled or trimmed away.
 * In: messages as we keep them (one assistant message may hold several model calls). Out: user and assistant messages in
 * turn, beginning and ending with a user message, every tool_use answered by the next message, thinking only where it holds.
 */
import type {
  DocumentBlockParam,
  ImageBlockParam,
  TextBlockParam,
  ToolResultBlockParam,
  ToolUseBlockParam,
} from '@anthropic-ai/sdk/resources/messages'
import { isBlank } from '../../contract/blank.ts'
import { textOfResult } from '../../contract/content-block.ts'
import type { ContentBlock, TextBlock, ToolResultBlock } from '../../contract/content-block.ts'
import type { MessageRole } from '../../contract/message.ts'
import { bindThinking } from './bind-thinking.ts'
import type { BindingStart } from './bind-thinking.ts'
import { isThinking } from './claude-message.ts'
import type { DraftBlock, DraftMessage, Turn } from './claude-message.ts'
import { toExactInput } from './exact-input.ts'
import { noteOf, weightOf } from './media.ts'
import type { KnownFiles, MediaBlock, MediaSources } from './media.ts'
import { pairServerTools } from './pair-server-tools.ts'
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
  /** False drops what only its provider may take back: its own blocks, and citations. @default true */
  readonly keepsProviderBlocks?: boolean
  /** What the API gets of images and documents. @default their own sources; no attachment is there */
  readonly media?: MediaRules
  /** True keeps an answer at the end, for a request that no answer follows. @default false */
  readonly keepsEnd?: boolean
  /** True keeps an answer at the end, for a provider that goes on with it. @default false */
  readonly isPaused?: boolean
}

export interface MediaRules {
  readonly sources: MediaSources
  readonly files: KnownFiles
  /** The API wants citations of all documents of a request, or of none. */
  readonly citesDocuments: boolean
}

/** The conversation for the API, and the fingerprint that its answer's thinking is bound to; empty when no user said anything. */
export function toClaudeMessages(turns: readonly Turn[], rules: HistoryRules = {}) {
  const drafts: DraftMessage[] = []
  for (const turn of turns) {
    for (const part of splitTurn(turn, rules)) append(drafts, part)
  }
  const paired: DraftMessage[] = []
  const isAnswered = rules.keepsEnd !== true || rules.isPaused === true
  const whole = pairServerTools(pairTools(drafts), isAnswered)
  for (const message of whole) append(paired, withoutEndingThinking(message))
  // An answer at the end would be a prefill, which Claude 4.6 and later refuse.
  const isPrefill = paired.at(-1)?.role === 'assistant' && rules.keepsEnd !== true && rules.isPaused !== true
  // What goes on after a thought that was left out is not bound to it, and later requests, where it ends nothing, hold the thought.
  const lacksThought = rules.isPaused === true && endsInThinking(whole.at(-1))
  return bindThinking(isPrefill ? paired.slice(0, -1) : paired, { seed: '', ...rules.start, lacksThought })
}

/** The parts of one stored message, by who says them to the API: a tool's result is the user's. */
function splitTurn(turn: Turn, given: HistoryRules): DraftMessage[] {
  // Another SDK has made the answer: what its provider said besides words and calls is not in Claude's form.
  const isForeign = turn.content.some(({ type }) => type === 'model_metadata')
  const rules = isForeign ? { ...given, keepsProviderBlocks: false } : given
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
  // What an agent has drawn is for people: the API takes images of users only.
  if (block.type === 'image' || block.type === 'document') return turnRole === 'user' ? 'user' : undefined
  if (block.type === 'tool_result') return 'user'
  if (block.type === 'compaction') return undefined // it has its own place, see to-claude-request.ts
  if (block.type === 'model_metadata') return undefined
  return turnRole === 'assistant' ? 'assistant' : undefined
}

/**
 * The block for the API; undefined when the API would refuse it. It refuses half of a character too, and storage does not give it
 * back: what was just said goes as it will be stored.
 */
function toDraft(block: ContentBlock, rules: HistoryRules): Omit<DraftBlock, 'isExact'> | undefined {
  const { keepsTools = true, keepsThinking = true, keepsExactInput = true, keepsProviderBlocks = true } = rules
  switch (block.type) {
    case 'text':
      return isBlank(block.text) ? undefined : { param: toTextParam(block, keepsProviderBlocks) }
    case 'image':
    case 'document':
      return toMediaDraft(block, rules.media)
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
      const { type, id, name, caller } = block
      const { value, text } = toExactInput(block)
      const exact = keepsExactInput ? { inputText: text } : {}
      const more = caller === undefined ? {} : { caller: caller as unknown as ToolUseBlockParam['caller'] & object } // the provider's
      return keepsTools ? { param: { type, id, name, input: value, ...more }, ...exact } : undefined
    }
    case 'tool_result':
      return keepsTools ? toResultDraft(block, rules.media) : undefined
    case 'compaction':
      return undefined
    case 'server_tool_use':
    case 'mcp_tool_use': {
      if (!keepsProviderBlocks) return undefined
      const { inputJson: _inputJson, ...param } = block
      const { value, text } = toExactInput(block)
      return { param: { ...param, input: value }, ...(keepsExactInput ? { inputText: text } : {}) }
    }
    default:
      return keepsProviderBlocks ? { param: block } : undefined
  }
}

/** What a text cites goes back with it, but for citations that a model did not finish. */
function toTextParam({ text, citations }: TextBlock, keepsCitations: boolean): TextBlockParam {
  const param = { type: 'text' as const, text: text.toWellFormed() }
  const cited = citations as TextBlockParam['citations'] // as the provider sent them
  return keepsCitations && cited !== undefined && cited !== null && cited.length > 0
    ? { ...param, citations: cited }
    : param
}

function toMediaDraft(block: MediaBlock, media: MediaRules | undefined): Omit<DraftBlock, 'isExact'> {
  const source = media === undefined && block.source.type !== 'attachment' ? block.source : media?.sources.get(block)
  if (source === undefined) return { param: { type: 'text', text: noteOf(block) } }
  const size = 'data' in source ? Buffer.byteLength(source.data) : 0
  const unreadBytes = Math.max(0, size - weightOf(block, media?.files ?? new Map()))
  if (block.type === 'image')
    return { param: { type: 'image', source: source as ImageBlockParam['source'] }, unreadBytes } // see media.ts
  const { title, context } = block
  const more = {
    ...(title !== undefined && { title }),
    ...(context !== undefined && { context }),
    ...(media?.citesDocuments === true && { citations: { enabled: true } }),
  }
  return { param: { type: 'document', source: source as DocumentBlockParam['source'], ...more }, unreadBytes } // see media.ts
}

/** The API takes an empty result, but not an empty error; and an error says text only. */
function toResultDraft(block: ToolResultBlock, media: MediaRules | undefined): Omit<DraftBlock, 'isExact'> {
  const { type, tool_use_id, is_error, content } = block
  if (typeof content === 'string' || is_error || content.length === 0) {
    const text = textOfResult(content)
    const said = is_error && isBlank(text) ? 'The tool failed' : text.toWellFormed()
    return { param: { type, tool_use_id, content: said, is_error } }
  }
  const parts = content.flatMap((part) => {
    const isBlankText = part.type === 'text' && isBlank(part.text)
    if (isBlankText) return []
    if (part.type === 'text') return [{ param: toTextParam(part, false) }]
    return [part.type === 'image' || part.type === 'document' ? toMediaDraft(part, media) : { param: part }]
  })
  const unreadBytes = parts.reduce((sum, part) => sum + ('unreadBytes' in part ? (part.unreadBytes ?? 0) : 0), 0)
  const params = parts.map(({ param }) => param) as ToolResultBlockParam['content'] & object[] // what a tool may answer
  return { param: { type, tool_use_id, content: params, is_error }, unreadBytes }
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

function endsInThinking(message: DraftMessage | undefined): boolean {
  const last = message?.blocks.at(-1)
  return last !== undefined && isThinking(last.param)
}

/** The API refuses an answer that ends in thinking. */
function withoutEndingThinking({ role, blocks }: DraftMessage): DraftMessage {
  return { role, blocks: blocks.slice(0, blocks.findLastIndex(({ param }) => !isThinking(param)) + 1) }
}
