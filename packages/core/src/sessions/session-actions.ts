/** Sessions and messages as callers use them: what is missing is a typed error, what is made gets its id here. */
import { VerbatimError } from '../contract/errors.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import { maxPromptBytes } from '../contract/prompt.ts'
import type { SessionRepository } from '../ports/session-repository.ts'
import type { MessageActions, SessionActions } from '../server-core.ts'

export function createSessionActions(repository: SessionRepository): SessionActions {
  return {
    create: (owner, { sessionId = crypto.randomUUID(), title = null }) =>
      repository.createSession(owner, { sessionId, title }),
    get: async (owner, sessionId) => orMissing('SESSION_NOT_FOUND', await repository.getSession(owner, sessionId)),
    list: (owner, page) => repository.listSessions(owner, page),
    update: async (owner, { sessionId, title }) =>
      orMissing('SESSION_NOT_FOUND', await repository.renameSession(owner, sessionId, title)),
  }
}

export function createMessageActions(repository: SessionRepository): MessageActions {
  return {
    async list(owner, sessionId, page) {
      const messages = await repository.listMessages(owner, sessionId, page)
      // Only an empty answer can be a missing session: the usual call stays one query.
      if (messages.items.length === 0) orMissing('SESSION_NOT_FOUND', await repository.getSession(owner, sessionId))
      return messages
    },
    get: async (owner, sessionId, messageId) =>
      orMissing('MESSAGE_NOT_FOUND', await repository.getMessage(owner, sessionId, messageId)),
    async append(owner, { content, messageId = crypto.randomUUID(), ...message }) {
      const blocks: readonly ContentBlock[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content
      if (Buffer.byteLength(JSON.stringify(blocks)) > maxPromptBytes) {
        throw new VerbatimError('MESSAGE_TOO_LARGE', undefined, {
          data: { maxBytes: maxPromptBytes, field: 'content' },
        })
      }
      return await repository.appendMessage(owner, { ...message, messageId, content: blocks })
    },
  }
}

function orMissing<TFound>(code: 'SESSION_NOT_FOUND' | 'MESSAGE_NOT_FOUND', found: TFound | undefined): TFound {
  if (found === undefined) throw new VerbatimError(code)
  return found
}
