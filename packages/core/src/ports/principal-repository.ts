import type { ExportItem, Erasure } from '../contract/principal-data.ts'
import type { Owner } from '../contract/principal.ts'

declare const principalKeyBrand: unique symbol

/** An owner's name in storage, made from tenant and user. */
export type PrincipalKey = string & { readonly [principalKeyBrand]: true }

/** An erasure to begin. */
export interface NewErasure {
  /** The caller's own id of it, a UUID. */
  readonly id: string
  readonly requestedBy: Owner
}

/** One step of an erasure. */
export interface ErasureStep {
  readonly erasure: Erasure
  /** When the next step has something to do, in milliseconds; undefined when there is none. */
  readonly nextMs: number | undefined
}

/** All of one owner. Every call is safe to repeat, also by two processes at once. */
export interface PrincipalRepository {
  /**
   * All that is stored of `owner`, each document once, as it is when it is read. Holds a bounded part in memory, and goes on where it was
   * after an election.
   *
   * @throws VerbatimError `UNAVAILABLE`; the signal's reason when it aborts
   */
  export(owner: Owner, options: { signal: AbortSignal }): AsyncGenerator<ExportItem, void, void>
  /**
   * Begins an erasure: from now on no session of the owner can be made (`PRINCIPAL_ERASING`). Answers the one of this id when there
   * is one, and the one that goes on when there is another.
   */
  beginErasure(owner: Owner, erasure: NewErasure): Promise<{ readonly key: PrincipalKey; readonly erasure: Erasure }>
  /**
   * Removes what can be removed now, a bounded part at a time. What a process leaves half done, any process continues.
   *
   * @param lateWriteGraceMs after this time no write of a lost process can land any more; the erasure then removes late ones
   * @param onRemoved is called when all is removed, before that time begins, and perhaps more than once: it erases what lies elsewhere
   * @returns undefined when there is nothing to do any more: the receipt is stored
   * @throws VerbatimError `UNAVAILABLE` when the signal aborts
   */
  erase(
    key: PrincipalKey,
    options: { lateWriteGraceMs: number; onRemoved: (owner: Owner) => Promise<void>; signal: AbortSignal },
  ): Promise<ErasureStep | undefined>
  /** The erasures that are not done, the oldest first. */
  findErasures(): Promise<PrincipalKey[]>
}
