/**
 * Thinking is bound to all that came before it: the model, the system prompt, the tools and every earlier message ("Preserved
 * thinking" in Anthropic's documentation). The API refuses a request in which any of that has changed.
 * In: a conversation whose thinking carries the fingerprint of what it was thought from. Out: the same with only the thinking
 * whose fingerprint is that of what now stands before it, and the fingerprint of the whole.
 */
import { isProviderBlock } from '../../contract/provider-block.ts'
import { isThinking, toMessageText } from './claude-message.ts'
import type { ClaudeMessage, DraftBlock, DraftMessage } from './claude-message.ts'
import { fingerprintOf } from './fingerprint.ts'

export interface BoundMessages {
  readonly messages: ClaudeMessage[]
  /** The JSON of each message: other than that of `messages` where a model wrote what JavaScript cannot hold. */
  readonly texts: string[]
  readonly hasExactInput: boolean
  /** True when they hold what only their provider may take back. */
  readonly hasProviderBlocks: boolean
  /** Bytes of them that the model does not read as text. */
  readonly unreadBytes: number
  /** What the thinking of the next answer is bound to. */
  readonly boundTo: string
  /** The fingerprint of the messages alone. A summary that takes their place takes their fingerprint too. */
  readonly chain: string
}

export interface BindingStart {
  /** The fingerprint of the model, the system prompt and the tools. */
  readonly seed: string
  /** The fingerprint of the messages that a summary has taken the place of. @default none */
  readonly chain?: string | undefined
  /** True when the answer goes on from one whose last thought was left out: its own thinking holds nowhere else. @default false */
  readonly lacksThought?: boolean | undefined
}

export function bindThinking(drafts: readonly DraftMessage[], start: BindingStart): BoundMessages {
  const { seed } = start
  let chain = start.chain ?? ''
  const messages: ClaudeMessage[] = []
  const texts: string[] = []
  let hasExactInput = false
  let hasProviderBlocks = false
  let unreadBytes = 0
  let before = chain
  for (const { role, blocks: all } of drafts) {
    const blocks = role === 'assistant' ? keepBound(all, fingerprintOf(seed, chain)) : all
    const text = toMessageText({ role, blocks })
    before = chain
    chain = fingerprintOf(chain, text)
    messages.push({ role, content: blocks.map(({ param }) => param) })
    texts.push(text)
    hasExactInput ||= blocks.some(({ inputText }) => inputText !== undefined)
    hasProviderBlocks ||= blocks.some(({ param }) => isProviderBlock(param) || 'citations' in param)
    unreadBytes += blocks.reduce((sum, block) => sum + (block.unreadBytes ?? 0), 0)
  }
  // An answer that goes on after a pause is one message with what it had before.
  const prefix = messages.at(-1)?.role === 'assistant' ? before : chain
  const boundTo = fingerprintOf(seed, prefix, ...(start.lacksThought === true ? ['lacks a thought'] : []))
  return { messages, texts, hasExactInput, hasProviderBlocks, unreadBytes, boundTo, chain }
}

/** Each thinking block remembers the one before it, so none may go from between two others. */
function keepBound(blocks: readonly DraftBlock[], prefix: string): DraftBlock[] {
  let holds = true
  return blocks.filter(({ param, isExact, boundTo }) => {
    if (!isThinking(param)) return true
    holds &&= isExact && boundTo === prefix
    return holds
  })
}
