import type { ChatError } from '../message/chat-message.ts'

/** An error as its reader needs it: what happened, and what becomes of the message. */
export function errorMessage(error: ChatError): string {
  switch (error.code) {
    case 'UNAVAILABLE':
      return 'The server cannot be reached just now.'
    case 'SESSION_BUSY':
      if (error.data.kind === 'contention')
        return 'Too many messages come to this session at once. Try again in a moment.'
      return 'Another answer is being made in this session. Send your message when it is done.'
    case 'OVERLOADED':
      return 'The server has too much to do just now. Try again in a moment.'
    case 'RATE_LIMITED':
      return limitMessage(error)
    case 'BUDGET_EXCEEDED':
      return `Today’s budget is used up. It is full again ${waitOf(error)}.`
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

function limitMessage(error: ChatError): string {
  switch (error.data.kind?.replace(/^[a-z]+_/, '')) {
    case 'sessions':
      return 'You have as many sessions as you may. Delete one, then try again.'
    case 'active_runs':
      return 'Too many answers are being made at once. Wait until one is done, then try again.'
    default:
      return `That was too much at once. Try again ${waitOf(error)}.`
  }
}

const minuteMs = 60_000

/** When to come back, rounded up. */
function waitOf({ data: { retryAfterMs = 0 } }: ChatError): string {
  if (retryAfterMs <= minuteMs) return 'in a moment'
  const minutes = Math.ceil(retryAfterMs / minuteMs)
  return minutes < 60 ? `in ${minutes} minutes` : hoursOf(minutes)
}

function hoursOf(minutes: number): string {
  const hours = Math.ceil(minutes / 60)
  return hours === 1 ? 'in an hour' : `in ${hours} hours`
}

function referenceOf({ data }: ChatError): string {
  return data.correlationId === undefined ? '' : ` Its reference is ${data.correlationId}.`
}
