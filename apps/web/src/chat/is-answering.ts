import type { ChatStatus } from '../message/chat-message.ts'

/** True while an answer is made: it can be stopped, and nothing else can be sent. */
export function isAnswering(status: ChatStatus): boolean {
  return status === 'starting' || status === 'streaming' || status === 'reconnecting'
}
