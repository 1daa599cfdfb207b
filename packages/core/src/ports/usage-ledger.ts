/** Whose use is counted: a principal's, or with `ownerId` null the whole tenant's; on which day (`2026-11-28`, UTC). */
export interface LedgerAccount {
  readonly tenantId: string
  readonly ownerId: string | null
  readonly day: string
}

export interface LedgerUse {
  readonly tokens: number
  readonly costUsd: number
}

/** What one writer has counted for an account. The account's use is the sum over its shards. */
export interface LedgerShard extends LedgerUse {
  readonly account: LedgerAccount
  /** Names the writer: a shard has one in its life. */
  readonly shard: string
}

/**
 * What model calls have used, shared by all processes. Each writer stores its own running total and never adds to what is stored, so a
 * repeated write counts nothing twice, and no two processes meet at one document (a grow-only counter: Shapiro et al., "Conflict-free
 * Replicated Data Types", 2011).
 */
export interface UsageLedger {
  /** Every shard of the accounts. @throws VerbatimError `UNAVAILABLE` when the signal aborts */
  read(accounts: readonly LedgerAccount[], signal: AbortSignal): Promise<LedgerShard[]>
  /** Stores the totals; one that is smaller than what is stored changes nothing. @throws VerbatimError `UNAVAILABLE` when the signal aborts */
  store(totals: readonly LedgerShard[], signal: AbortSignal): Promise<void>
}
