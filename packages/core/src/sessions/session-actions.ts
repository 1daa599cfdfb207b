/** Sessions and messages as callers use them: what is missing is a typed error, what is new gets its id here. */
import { requireFound } from '../contract/errors.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import { requirePromptSize } from '../contract/prompt.ts'
import type { SessionRepository } from '../ports/session-repository.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { deleteSession } from './delete-session.ts'
import type { MessageActions, SessionActions } from '../engine/engine.ts'

export function createSessionActions(context: EngineContext): SessionActions {
  const repository = context.ports.sessionRepository
  return {
    create: (owner, { sessionId = crypto.randomUUID(), title = null }) =>
      repository.createSession(owner, { sessionId, title }),
    get: async (owner, sessionId) => requireFound(await repository.getSession(owner, sessionId), 'SESSION_NOT_FOUND'),
    list: (owner, page) => repository.listSessions(owner, page),
    update: async (owner, { sessionId, title }) =>
      requireFound(await repository.renameSession(owner, sessionId, title), 'SESSION_NOT_FOUND'),
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
      requireFound(session, 'SESSION_NOT_FOUND')
      return messages
    },
    async get(owner, sessionId, messageId) {
      const [, message] = await Promise.all([
        repository.getSession(owner, sessionId),
        repository.getMessage(owner, sessionId, messageId),
      ])
      return requireFound(message, 'MESSAGE_NOT_FOUND')
    },
    async append(owner, { content, messageId = crypto.randomUUID(), ...message }) {
      const blocks: readonly ContentBlock[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content
      requirePromptSize(Buffer.byteLength(JSON.stringify(blocks)), 'content')
      return await repository.appendMessage(owner, { ...message, messageId, content: blocks })
    },
  }
}
