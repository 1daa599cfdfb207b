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
      return `You have no session ${context.sessionId ?? 'of this id'}; \`${commandName} sessions\` lists those you have.`
    case 'SESSION_BUSY':
      return `The session is being answered already; \`${commandName} resume ${context.sessionId ?? '<sessionId>'}\` shows that.`
    default:
      return `${error.message.replace(/\.$/, '')} (${error.code}).`
  }
}

/** The request did not get there; an answer that says "unavailable" has no error as its cause. */
function isUnreachable({ code, cause }: VerbatimError): boolean {
  return code === 'UNAVAILABLE' && cause instanceof Error
}
