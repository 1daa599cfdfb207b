/**
 * Storage keys are made from the owner and the public id, so a query that forgets the owner cannot be written (promise P7),
 * two owners may use the same id without learning of each other, and keys spread evenly over shards.
 */
import { createHash } from 'node:crypto'
import type { AgentStateName } from '../../contract/agent-state.ts'
import type { AttachmentId, MessageId, RunId, SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { BytesKey } from '../../ports/attachment-store.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { PrincipalKey } from '../../ports/principal-repository.ts'

declare const messageKeyBrand: unique symbol
declare const agentStateKeyBrand: unique symbol
declare const attachmentKeyBrand: unique symbol

export type MessageKey = string & { readonly [messageKeyBrand]: true }
export type AgentStateKey = string & { readonly [agentStateKeyBrand]: true }
export type AttachmentKey = string & { readonly [attachmentKeyBrand]: true }

export function principalKeyOf(owner: Owner): PrincipalKey {
  return digest('principal', owner) as PrincipalKey // branded here only
}

export function sessionKeyOf(owner: Owner, sessionId: SessionId): SessionKey {
  return digest('session', owner, sessionId) as SessionKey // branded here only
}

export function runKeyOf(owner: Owner, runId: RunId): RunKey {
  return digest('run', owner, runId) as RunKey // branded here only
}

/** A message's id counts within its session: an append to another session cannot take the id of a run's message. */
export function messageKeyOf(owner: Owner, sessionId: SessionId, messageId: MessageId): MessageKey {
  return digest('message', owner, sessionId, messageId) as MessageKey // branded here only
}

export function agentStateKeyOf(owner: Owner, sessionId: SessionId, name: AgentStateName): AgentStateKey {
  return digest('agent_state', owner, sessionId, name) as AgentStateKey // branded here only
}

export function attachmentKeyOf(owner: Owner, id: AttachmentId): AttachmentKey {
  return digest('attachment', owner, id) as AttachmentKey // branded here only
}

/** A place for the bytes of one upload. */
export function newBytesKey(owner: Owner): BytesKey {
  return `${principalKeyOf(owner)}/${crypto.randomUUID()}` as BytesKey // branded here only
}

/** All places of an owner: the character after `/` is `0`. */
export function bytesOf(owner: Owner): { readonly _id: { readonly $gte: BytesKey; readonly $lt: BytesKey } } {
  const key = principalKeyOf(owner)
  return { _id: { $gte: `${key}/` as BytesKey, $lt: `${key}0` as BytesKey } }
}

/** 192 bits of SHA-256: short enough for a key, long enough against a second pre-image. */
function digest(kind: string, owner: Owner, ...ids: readonly string[]): string {
  const text = JSON.stringify([kind, owner.tenantId, owner.ownerId, ...ids]) // JSON keeps the parts apart
  return createHash('sha256').update(text).digest().subarray(0, 24).toString('base64url')
}
