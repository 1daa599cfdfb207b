import type { SessionId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { RunKey } from './event-log.ts'

declare const sessionKeyBrand: unique symbol

/** A session's name in storage, made from its owner and id. */
export type SessionKey = string & { readonly [sessionKeyBrand]: true }

/** A deleted session: nothing starts or is stored in it any more. */
export interface Tombstone {
  readonly key: SessionKey
  /** The stopped runs: queued ones have ended, and `active` has a cancel request. */
  readonly stopped: readonly RunKey[]
  /** The run that is still active. */
  readonly active: RunKey | undefined
  /** True when nothing is left to remove. */
  readonly isPurged: boolean
}

/** Removes what belongs to deleted sessions, and expired events. Every call is safe to repeat, also by two processes at once. */
export interface DeletionRepository {
  /**
   * One transaction: stores the tombstone, ends the queued runs, and requests the cancel of the active one. Answers an earlier
   * tombstone as it is; undefined when there is no such session.
   *
   * @throws VerbatimError `UNAVAILABLE`
   */
  storeTombstone(owner: Owner, sessionId: SessionId): Promise<Tombstone | undefined>
  /**
   * Removes all that belongs to a deleted session, children first, and stores the receipt. False when its run is still active:
   * then it removes nothing. What remains are keys without content.
   *
   * @param lateWriteGraceMs after this time no write of a lost process can land any more; the purge then removes late ones
   * @throws VerbatimError `UNAVAILABLE` when the signal aborts
   */
  purgeSession(key: SessionKey, options: { lateWriteGraceMs: number; signal: AbortSignal }): Promise<boolean>
  /** Sessions with a tombstone that are not purged, the oldest first. */
  findSessionsToPurge(): Promise<SessionKey[]>
  /**
   * Removes the turns of before `before` from sessions that go on, with a receipt, and deletes sessions in which nothing has happened
   * since then. What is left of a session begins with a user message.
   */
  expireMessages(options: { before: Date; signal: AbortSignal }): Promise<void>
  /** Removes the remaining events of at most `maxRuns` runs whose retention is over, with a receipt; answers how many there were. */
  sweepRuns(options: { maxRuns: number; signal: AbortSignal }): Promise<number>
}
