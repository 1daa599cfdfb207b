/** Sessions and messages as callers use them: what is missing is a typed error, what is new gets its id here. */
import { requireUsableAttachments } from '../attachments/require-usable-attachments.ts'
import { auditMissing } from '../audit/audit-missing.ts'
import { requireFound, VerbatimError } from '../contract/errors.ts'
import type { ContentBlock } from '../contract/content-block.ts'
import { requirePromptSize } from '../contract/prompt.ts'
import type { MessageId, SessionId } from '../contract/identifiers.ts'
import type { Message } from '../contract/message.ts'
import type { Owner } from '../contract/principal.ts'
import type { Session } from '../contract/session.ts'
import type { MessagesRequest, SessionRepository } from '../ports/session-repository.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { deleteSession } from './delete-session.ts'
import { redactMessage } from './redact-message.ts'
import { followSessions } from './follow/follow-sessions.ts'
import type { SessionFeeds } from './follow/session-feeds.ts'
import type { MessageActions, SessionActions } from '../engine/engine.ts'

/** @param parts.gauges counts the follows that are open */
export function createSessionActions(
  context: EngineContext,
  { feeds, gauges }: { feeds: SessionFeeds; gauges: { followers: number } },
): SessionActions {
  const { sessionRepository: repository } = context.ports
  const ofOwn = watchSessionIds(context)
  return {
    create: (owner, { sessionId = crypto.randomUUID(), title = null }) =>
      repository.createSession(owner, { sessionId, title, limits: context.admission.limits.stored }),
    get: (owner, sessionId) => ofOwn(owner, sessionId, requireSession(repository.getSession(owner, sessionId))),
    list: (owner, page) => repository.listSessions(owner, page),
    update: (owner, { sessionId, title }) =>
      ofOwn(owner, sessionId, requireSession(repository.renameSession(owner, sessionId, title))),
    delete: (owner, input) => ofOwn(owner, input.sessionId, deleteSession(context, owner, input)),
    async *follow(owner, { sessionIds = [], list = false, signal } = {}) {
      const release = context.admission.limits.follow(owner)
      gauges.followers++
      try {
        const { stopping } = context
        const either = signal === undefined ? stopping : AbortSignal.any([signal, stopping])
        yield* followSessions(feeds, owner, { sessionIds, list, signal: either })
      } finally {
        gauges.followers--
        release()
      }
    },
  }
}

/** What `call` about a session answers; the audit takes an id down that is not the caller's. */
function watchSessionIds({ audit }: EngineContext) {
  return <TResult>(owner: Owner, id: SessionId, call: Promise<TResult>) =>
    auditMissing(audit, { owner, kind: 'session', id }, call)
}

async function requireSession(found: Promise<Session | undefined>): Promise<Session> {
  return requireFound(await found, 'SESSION_NOT_FOUND')
}

export function createMessageActions(context: EngineContext): MessageActions {
  const { sessionRepository: repository } = context.ports
  const { limits } = context.admission
  const ofOwn = watchSessionIds(context)
  return {
    list: (owner, sessionId, page) => ofOwn(owner, sessionId, listMessages(repository, { owner, sessionId }, page)),
    get: (owner, sessionId, messageId) =>
      ofOwn(owner, sessionId, getMessage(repository, { owner, sessionId }, messageId)),
    async append(owner, { content, messageId = crypto.randomUUID(), ...given }) {
      const { agentId = null, metrics = null, status = 'completed', ...message } = given
      requireAnswer({ role: message.role, metrics, status })
      const blocks: readonly ContentBlock[] = typeof content === 'string' ? [{ type: 'text', text: content }] : content
      const bytes = Buffer.byteLength(JSON.stringify(blocks))
      requirePromptSize(bytes, 'content')
      await requireUsableAttachments(context, { owner }, blocks)
      // Not given back for a repeated append: what was sent was read.
      limits.take(owner, { starts: 0, bytes })
      const said = { ...message, agentId, metrics, status, messageId, content: blocks }
      return await repository.appendMessage(owner, { ...said, limits: limits.stored })
    },
    redact: (owner, input) => ofOwn(owner, input.sessionId, redactMessage(context, owner, input)),
  }
}

/** How it was made is said of an answer only. @throws VerbatimError `INVALID_INPUT` */
function requireAnswer({ role, metrics, status }: Pick<Message, 'role' | 'metrics' | 'status'>): void {
  const field = metrics === null ? (status === 'completed' ? undefined : 'status') : 'metrics'
  if (role === 'assistant' || field === undefined) return
  throw new VerbatimError('INVALID_INPUT', `${field}: only an assistant message has it`, { data: { field } })
}

interface OwnSession {
  readonly owner: Owner
  readonly sessionId: SessionId
}

// A deleted session shows nothing after its tombstone, though its messages may still be stored: both read the session too.

async function listMessages(repository: SessionRepository, { owner, sessionId }: OwnSession, page: MessagesRequest) {
  const [session, messages] = await Promise.all([
    repository.getSession(owner, sessionId),
    repository.listMessages(owner, sessionId, page),
  ])
  requireFound(session, 'SESSION_NOT_FOUND')
  return messages
}

async function getMessage(repository: SessionRepository, { owner, sessionId }: OwnSession, messageId: MessageId) {
  const [, message] = await Promise.all([
    repository.getSession(owner, sessionId),
    repository.getMessage(owner, sessionId, messageId),
  ])
  return requireFound(message, 'MESSAGE_NOT_FOUND')
}
