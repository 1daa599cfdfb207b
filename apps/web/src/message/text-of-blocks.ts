import type { ContentBlock } from './chat-message.ts'

/** The text of a message, without thinking and tools. */
export function textOfBlocks(content: readonly ContentBlock[]): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
}
