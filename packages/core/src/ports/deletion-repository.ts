import type { SessionId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { RunKey } from './event-log.ts'

declare const sessionKeyBrand: unique symbol

/** A session's name in storage, made from its owner and id. */
export type SessionKey = string & { readonly [sessionKeyBrand]: true }

/** A session that is deleted: nothing starts or is stored in it any more. */
export interface Tombstone {
  readonly key: SessionKey
  /** The runs that are stopped: those that waited have ended, `active` has the intent to cancel. */
  readonly stopped: readonly RunKey[]
  /** The run that is still being made. */
  readonly active: RunKey | undefined
  /** True when nothing of it is left to remove. */
  readonly isPurged: boolean
}

/** Removes what belongs to deleted sessions, and what has expired. Every call is safe to repeat, and by two processes at once. */
export interface DeletionRepository {
  /**
   * One transaction: marks the session, ends the runs that wait, and stores the intent to cancel the one that runs. A session
   * that was marked before is answered as it is; undefined when there is none.
   *
   * @throws VerbatimError `UNAVAILABLE`
   */
  storeTombstone(owner: Owner, sessionId: SessionId): Promise<Tombstone | undefined>
  /**
   * Removes all that belongs to a marked session, children first, and stores the receipt. False when a run still goes on in
   * it: then nothing is removed. What remains are keys without content.
   *
   * @param lateWriteGraceMs after which every write of a lost process has ended or been given up; then it is looked for such once more
   * @throws VerbatimError `UNAVAILABLE` when the signal aborts
   */
  purgeSession(key: SessionKey, options: { lateWriteGraceMs: number; signal: AbortSignal }): Promise<boolean>
  /** Sessions that are marked and not purged, the oldest first. */
  findSessionsToPurge(): Promise<SessionKey[]>
  /** Removes what is left of the events of at most `maxRuns` runs whose time is over, with a receipt; answers how many there were. */
  sweepRuns(options: { maxRuns: number; signal: AbortSignal }): Promise<number>
}
