import type { ChatMessage } from './chat-message.ts'

/** How an answer ended when its reader misses something. */
export type Outcome = 'refused' | 'cancelled' | 'failed' | 'interrupted' | 'cut' | 'full' | 'empty'

/** Null for a whole answer, and for one that is still being made. */
export function outcomeOf({ status, content, metrics }: ChatMessage): Outcome | null {
  switch (status) {
    case 'refused':
    case 'cancelled':
    case 'failed':
    case 'interrupted':
      return status
    case 'completed':
      break
    default:
      return null
  }
  if (metrics?.stopReason === 'max_tokens') return 'cut'
  if (metrics?.stopReason === 'model_context_window_exceeded') return 'full'
  return content.every(isUnseen) ? 'empty' : null
}

/** Thoughts are no answer. */
function isUnseen(block: ChatMessage['content'][number]): boolean {
  return /thinking|compaction/.test(block.type) || (block.type === 'text' && block.text.trim() === '')
}
