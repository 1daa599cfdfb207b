import type { SessionId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { Session } from '../contract/session.ts'
import type { SessionKey } from './deletion-repository.ts'
import type { PrincipalKey } from './principal-repository.ts'

/** A session as it is stored now. */
export interface SessionRecord {
  readonly key: SessionKey
  readonly revision: number
  readonly isDeleted: boolean
  /** The session; a title that cannot be decrypted is null. @throws VerbatimError `SESSION_DELETED`, `UNSUPPORTED_VERSION`, `UNAVAILABLE` */
  toSession(): Promise<Session>
}

/** The newest sessions of a list, newest activity first. */
export interface NewestSessions {
  readonly records: readonly SessionRecord[]
  /** Where `listSessions` goes on; null when these are all. */
  readonly nextCursor: string | null
}

/** Whose list may have changed since `since`. */
export interface ListProbe {
  readonly owner: Owner
  readonly since: Date
}

/** A session whose last change a probe has found. */
export interface ProbedSession {
  readonly listKey: PrincipalKey
  readonly key: SessionKey
  readonly updatedAt: string
}

/** The states of sessions, read for many followers at once. Every key is made from its owner. */
export interface SessionStates {
  keyOf(owner: Owner, sessionId: SessionId): SessionKey
  listKeyOf(owner: Owner): PrincipalKey
  /** Those that are stored, tombstones too. @throws VerbatimError `UNAVAILABLE` */
  read(keys: readonly SessionKey[]): Promise<SessionRecord[]>
  /** The revisions of those that are stored; of a tombstone none. @throws VerbatimError `UNAVAILABLE` */
  readRevisions(keys: readonly SessionKey[]): Promise<Map<SessionKey, number | 'deleted'>>
  /** @throws VerbatimError `UNAVAILABLE` */
  readNewest(owner: Owner, limit: number): Promise<NewestSessions>
  /** The sessions that have changed since the time of their list, by an index alone. @throws VerbatimError `UNAVAILABLE` */
  probeLists(probes: readonly ListProbe[]): Promise<ProbedSession[]>
}

/** Receives hints. */
export interface SessionListener {
  /** `listKey` is known for new sessions only. */
  onChange(key: SessionKey, listKey: PrincipalKey | undefined): void
  /** Hints may have been lost; called first when the hints begin. */
  onGap(): void
  /** There are no hints, because the database gives none: followers have to poll. */
  onUnsupported(reason: string): void
}

/** Tells which sessions have changed in any process. A hint may be late, doubled or lost, so followers also poll. */
export interface SessionWatcher {
  /** Gives hints until `signal` aborts, or after `onUnsupported`; never rejects. */
  watch(listener: SessionListener, signal: AbortSignal): Promise<void>
}
