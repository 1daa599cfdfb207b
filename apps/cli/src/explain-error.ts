/** One sentence for a person: what happened and what to do. */
import { isVerbatimError } from '@verbatim/core'
import type { VerbatimError } from '@verbatim/core'
import { commandName } from './env.ts'

/** What an error is explained with. */
export interface ErrorContext {
  readonly url: string
  readonly sessionId?: string | undefined
}

export function explainError(error: unknown, context: ErrorContext): string {
  if (!isVerbatimError(error)) return error instanceof Error ? error.message : String(error)
  if (isUnreachable(error)) return `No server answers at ${context.url}; is \`npm start\` running?`
  switch (error.code) {
    case 'UNAUTHENTICATED':
      return 'The server does not know you; pass --token or set VERBATIM_TOKEN.'
    case 'SESSION_NOT_FOUND':
      if (context.sessionId === undefined) return sentence(error)
      return `You have no session ${context.sessionId}; \`${commandName} sessions\` lists those you have.`
    case 'SESSION_DELETED':
      return `The session was deleted; \`${commandName} sessions\` lists those you have.`
    case 'OVERLOADED':
    case 'RATE_LIMITED':
      return `${sentence(error)} Try again ${waitOf(error)}.`
    case 'BUDGET_EXCEEDED':
      return `Today's budget is used up; it is full again ${waitOf(error)}.`
    case 'SESSION_BUSY':
      if (error.data.kind === 'contention') return `${sentence(error)} Try again in a moment.`
      return `The session is being answered already; \`${commandName} ${context.sessionId === undefined ? 'sessions' : `resume ${context.sessionId}`}\` shows that.`
    default:
      return `${sentence(error).slice(0, -1)} (${error.code}).`
  }
}

function sentence({ message }: VerbatimError): string {
  return `${message.replace(/\.$/, '')}.`
}

const minuteMs = 60_000

function waitOf({ data: { retryAfterMs = 0 } }: VerbatimError): string {
  if (retryAfterMs <= minuteMs) return 'in a moment'
  const minutes = Math.ceil(retryAfterMs / minuteMs)
  return minutes < 120 ? `in ${minutes} minutes` : `in ${Math.ceil(minutes / 60)} hours`
}

/** The request did not get there; an answer that says "unavailable" has no error as its cause. */
function isUnreachable({ code, cause }: VerbatimError): boolean {
  return code === 'UNAVAILABLE' && cause instanceof Error
}
