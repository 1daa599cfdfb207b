import type { ChatError } from '../message/chat-message.ts'

/** An error as its reader needs it: what happened, and what becomes of the message. */
export function errorMessage(error: ChatError): string {
  switch (error.code) {
    case 'UNAVAILABLE':
      return 'The server cannot be reached just now.'
    case 'SESSION_BUSY':
      return 'Another answer is being made in this session. Send your message when it is done.'
    case 'RATE_LIMITED':
      return 'That was too much at once. Wait a moment, then try again.'
    case 'UNAUTHENTICATED':
    case 'FORBIDDEN':
      return 'You are not signed in for this session.'
    case 'MESSAGE_TOO_LARGE':
    case 'PAYLOAD_TOO_LARGE':
      return 'The message is too long. Shorten it or send it in parts.'
    case 'INTERNAL':
      return `Something went wrong on the server.${referenceOf(error)}`
    default:
      return `${error.message}.`
  }
}

function referenceOf({ data }: ChatError): string {
  return data.correlationId === undefined ? '' : ` Its reference is ${data.correlationId}.`
}
