/** The audit of access: what is written down of refused calls, exports, erasures and deletions, and where it can be read. */
import type { AuditAction, AuditEntry } from '../contract/audit.ts'
import type { Page } from '../contract/page.ts'
import type { Owner } from '../contract/principal.ts'
import type { PageRequest } from './session-repository.ts'

/** An access that was refused. It may come at any rate, so it is counted: one row a minute, process and kind of access. */
export interface RefusedAccess {
  readonly action: Extract<AuditAction, 'sign_in_failed' | 'scope_missing'>
  /** Who called; left out when the caller is not known. */
  readonly owner?: Owner | undefined
  /** The caller's address, when the application lets it be stored. */
  readonly address?: string | undefined
}

/** An id that its caller has nothing of. */
export interface MissingId {
  readonly owner: Owner
  readonly kind: 'session' | 'run' | 'attachment'
  readonly id: string
}

/** Takes down what callers try. Never waits, never throws, and holds a bounded number of rows in memory. */
export interface AuditRecorder {
  record(access: RefusedAccess): void
  /** The id is checked later, away from the call: only one that another owner has becomes a row. */
  recordMissing(missing: MissingId): void
}

/** Receives each row after it was stored, in the process that stored it: once, or never when that process dies just then. */
export type AuditListener = (entry: AuditEntry) => void

/** An id that another owner has. */
export interface ForeignId extends MissingId {
  readonly subject: Owner
}

/** Which rows: of one tenant, or of all. */
export interface AuditRequest extends PageRequest {
  /** All tenants when left out. */
  readonly tenantId?: string | undefined
}

/** The rows of the audit. */
export interface AuditRepository {
  /** Stores a row for good. Safe to repeat. @throws VerbatimError `UNAVAILABLE` */
  store(entry: AuditEntry): Promise<void>
  /** Stores rows whose `count` may still grow, or replaces earlier states of them. Safe to repeat. @throws VerbatimError `UNAVAILABLE` */
  storeCounted(entries: readonly AuditEntry[]): Promise<void>
  /** Those of the ids that exactly one other owner has: an id that several owners use names nothing. */
  findForeign(missing: readonly MissingId[]): Promise<ForeignId[]>
  /** Newest first. @throws VerbatimError `INVALID_CURSOR`, `UNAVAILABLE` */
  list(request: AuditRequest): Promise<Page<AuditEntry>>
  /** Removes at most `maxRows` rows older than `before`, the oldest first; answers how many there were. */
  expire(options: { before: Date; maxRows: number; signal: AbortSignal }): Promise<number>
  /** Calls `listener` with each row that this process stores, but not with counted ones. Answers how to stop that. */
  listen(listener: AuditListener): () => void
}
