/**
 * Thinking is bound to all that came before it: the model, the system prompt, the tools and every earlier message ("Preserved
 * thinking" in Anthropic's documentation). The API refuses a request in which any of that has changed.
 * In: a conversation whose thinking carries the fingerprint of what it was thought from. Out: the same with only the thinking
 * whose fingerprint is that of what now stands before it, and the fingerprint of the whole.
 */
import { createHash } from 'node:crypto'
import type { Hash } from 'node:crypto'
import { isThinking } from './claude-message.ts'
import type { ClaudeBlock, ClaudeMessage, DraftBlock, DraftMessage } from './claude-message.ts'

export interface BoundMessages {
  readonly messages: ClaudeMessage[]
  /** What the thinking of the next answer is bound to. */
  readonly boundTo: string
}

export function bindThinking(drafts: readonly DraftMessage[], seed: string): BoundMessages {
  const hash = createHash('sha256').update(seed)
  const messages = drafts.map(({ role, blocks }): ClaudeMessage => {
    const content = role === 'assistant' ? keepBound(blocks, fingerprintOf(hash)) : blocks.map(({ param }) => param)
    hash.update(JSON.stringify([role, content]))
    return { role, content }
  })
  return { messages, boundTo: fingerprintOf(hash) }
}

/** Each thinking block remembers the one before it, so none may go from between two others. */
function keepBound(blocks: readonly DraftBlock[], prefix: string): ClaudeBlock[] {
  let holds = true
  return blocks.flatMap(({ param, isExact, boundTo }) => {
    if (!isThinking(param)) return [param]
    holds &&= isExact && boundTo === prefix
    return holds ? [param] : []
  })
}

const fingerprintLength = 22

function fingerprintOf(hash: Hash): string {
  return hash.copy().digest('base64url').slice(0, fingerprintLength)
}
