/** Sessions and messages as callers use them: what is missing is a typed error, what is new gets its id here. */
import { VerbatimError } from '../contract/errors.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import { maxPromptBytes } from '../contract/prompt.ts'
import type { SessionRepository } from '../ports/session-repository.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { deleteSession } from './delete-session.ts'
import type { MessageActions, SessionActions } from '../engine/engine.ts'

export function createSessionActions(context: EngineContext): SessionActions {
  const repository = context.ports.sessionRepository
  return {
    create: (owner, { sessionId = crypto.randomUUID(), title = null }) =>
      repository.createSession(owner, { sessionId, title }),
    get: async (owner, sessionId) => orMissing('SESSION_NOT_FOUND', await repository.getSession(owner, sessionId)),
    list: (owner, page) => repository.listSessions(owner, page),
    update: async (owner, { sessionId, title }) =>
      orMissing('SESSION_NOT_FOUND', await repository.renameSession(owner, sessionId, title)),
    delete: (owner, input) => deleteSession(context, owner, input),
  }
}

export function createMessageActions(repository: SessionRepository): MessageActions {
  return {
    async list(owner, sessionId, page) {
      // A deleted session shows nothing after its tombstone, though its messages may still be stored.
      const [session, messages] = await Promise.all([
        repository.getSession(owner, sessionId),
        repository.listMessages(owner, sessionId, page),
      ])
      orMissing('SESSION_NOT_FOUND', session)
      return messages
    },
    async get(owner, sessionId, messageId) {
      const [, message] = await Promise.all([
        repository.getSession(owner, sessionId),
        repository.getMessage(owner, sessionId, messageId),
      ])
      return orMissing('MESSAGE_NOT_FOUND', message)
    },
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
