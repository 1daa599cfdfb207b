import type { ChatError } from '../message/chat-message.ts'

/** An error as its reader needs it: what happened, and what becomes of the message. */
export function errorMessage(error: Pick<ChatError, 'code' | 'data' | 'message'>): string {
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
    case 'SESSION_DELETED':
      return 'This session was deleted.'
    case 'UNAUTHENTICATED':
    case 'FORBIDDEN':
      return 'You are not signed in for this session.'
    case 'MESSAGE_TOO_LARGE':
    case 'PAYLOAD_TOO_LARGE':
      return 'The message is too long. Shorten it or send it in parts.'
    case 'PROVIDER_REFUSED':
      return refusalMessage(error)
    case 'PROVIDER_ERROR':
      return failureMessage(error)
    case 'OUTPUT_INVALID':
      return 'The answer does not have the form that it should. Try again.'
    case 'RUN_TIMEOUT':
      return 'The model took too long. Try again.'
    case 'INTERNAL':
      return `Something went wrong on the server.${referenceOf(error)}`
    default:
      return `${error.message}.`
  }
}

function limitMessage(error: Pick<ChatError, 'data'>): string {
  switch (error.data.kind?.replace(/^[a-z]+_/, '')) {
    case 'sessions':
      return 'You have as many sessions as you may. Delete one, then try again.'
    case 'active_runs':
      return 'Too many answers are being made at once. Wait until one is done, then try again.'
    default:
      return `That was too much at once. Try again ${waitOf(error)}.`
  }
}

/** The model's provider takes no such request: the user can shorten it, and only an operator can mend the rest. */
function refusalMessage({ data: { kind } }: Pick<ChatError, 'data'>): string {
  switch (kind) {
    case 'too_large':
    case 'thinking':
    case 'compaction':
      return 'The model cannot go on with this session. Begin a new chat.'
    case 'invalid_request':
      return 'The model does not take this message. Ask in other words, or begin a new chat. If it stays so, the operator of this page can find the reason in its log.'
    case 'max_tokens':
      return 'The model had no room left for an answer. Ask for less.'
    case 'max_cycles':
      return 'The model used its tools without coming to an end. Ask for less.'
    default:
      return 'The model cannot be used just now, and trying again does not help. The operator of this page can mend it.'
  }
}

function failureMessage({ data: { kind } }: Pick<ChatError, 'data'>): string {
  if (kind === 'overloaded' || kind === 'rate_limit') return 'The model is busy. Try again in a moment.'
  if (kind === 'empty') return 'The model ended without an answer. Try again, or ask in other words.'
  if (kind === 'network') return 'The model cannot be reached just now. Try again in a moment.'
  return 'The model broke off. Try again.'
}

const minuteMs = 60_000

/** When to come back, rounded up. */
function waitOf({ data: { retryAfterMs = 0 } }: Pick<ChatError, 'data'>): string {
  if (retryAfterMs <= minuteMs) return 'in a moment'
  const minutes = Math.ceil(retryAfterMs / minuteMs)
  return minutes < 60 ? `in ${minutes} minutes` : hoursOf(minutes)
}

function hoursOf(minutes: number): string {
  const hours = Math.ceil(minutes / 60)
  return hours === 1 ? 'in an hour' : `in ${hours} hours`
}

function referenceOf({ data }: Pick<ChatError, 'data'>): string {
  return data.correlationId === undefined ? '' : ` Its reference is ${data.correlationId}.`
}
