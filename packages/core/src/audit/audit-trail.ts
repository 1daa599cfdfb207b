/**
 * The rows of what callers try, in the memory of one process until they are stored. A flood of refused calls costs one row a minute
 * and caller, and past `maxRows` callers one row for all others; the numbers stay exact.
 */
import type { AuditAction, AuditEntry } from '../contract/audit.ts'
import type { Owner } from '../contract/principal.ts'
import type {
  AuditListener,
  AuditRecorder,
  AuditRepository,
  ForeignId,
  MissingId,
  RefusedAccess,
} from '../ports/audit.ts'
import type { Clock } from '../ports/clock.ts'

/** Rows of one action and minute, and of all that wait for the database; what comes after shares one row. */
const maxRows = 100
const maxHeldRows = 1_000
/** Ids that wait for their check, and those of one caller. */
const maxMissing = 100
const maxMissingOfOwner = 10
const minuteMs = 60_000

interface Row {
  readonly entry: AuditEntry
  readonly minute: number
  isStored: boolean
}

type Counted = Pick<AuditEntry, 'action' | 'tenantId'> &
  Partial<Pick<AuditEntry, 'actor' | 'subject' | 'target' | 'address'>>

export class AuditTrail implements AuditRecorder {
  readonly #repository: AuditRepository
  readonly #clock: Clock
  readonly #onEntry: AuditListener
  readonly #rows = new Map<string, Row>()
  readonly #missing = new Map<string, MissingId>()

  /** @param onEntry receives each row once, when its minute is over */
  constructor(repository: AuditRepository, { clock, onEntry }: { clock: Clock; onEntry: AuditListener }) {
    this.#repository = repository
    this.#clock = clock
    this.#onEntry = onEntry
  }

  record({ action, owner, address }: RefusedAccess): void {
    const actor = owner === undefined ? null : actorOf(owner)
    this.#count({ action, tenantId: owner?.tenantId ?? null, actor, address: address ?? null })
  }

  recordMissing(missing: MissingId): void {
    const { owner, kind, id } = missing
    const key = JSON.stringify([owner.tenantId, owner.ownerId, kind, id])
    if (this.#missing.has(key)) return
    const ofOwner = [...this.#missing.values()].filter((other) => isSame(other.owner, owner)).length
    if (this.#missing.size < maxMissing && ofOwner < maxMissingOfOwner) this.#missing.set(key, missing)
    else this.#count({ action: 'ids_unchecked', tenantId: owner.tenantId, actor: actorOf(owner) })
  }

  /** Stores what was taken down since the last call; what fails is stored by the next. @throws VerbatimError `UNAVAILABLE` */
  async flush(): Promise<void> {
    await this.#checkMissing()
    const rows = [...this.#rows.values()].filter((row) => !row.isStored)
    const entries = rows.map(({ entry }) => ({ ...entry }))
    if (entries.length > 0) await this.#repository.storeCounted(entries)
    for (const [at, row] of rows.entries()) row.isStored = row.entry.count === entries[at]?.count
    this.#announce((row) => row.minute < this.#minute())
  }

  /** {@link flush}, and no row is counted on. */
  async close(): Promise<void> {
    await this.flush()
    this.#announce(() => true)
  }

  #announce(isOver: (row: Row) => boolean): void {
    for (const [key, row] of this.#rows) {
      if (!row.isStored || !isOver(row)) continue
      this.#rows.delete(key)
      this.#onEntry(row.entry)
    }
  }

  async #checkMissing(): Promise<void> {
    if (this.#missing.size === 0) return
    const taken = [...this.#missing]
    this.#missing.clear()
    for (const { owner, subject, kind, id } of await this.#findForeign(taken)) {
      // Operators of one tenant do not learn what another tenant has.
      const isOneTenant = owner.tenantId === subject.tenantId
      const concerned = isOneTenant ? { tenantId: owner.tenantId, subject: subject.ownerId } : { tenantId: null }
      this.#count({ action: 'foreign_id', actor: actorOf(owner), target: `${kind}:${id}`, ...concerned })
    }
  }

  async #findForeign(taken: readonly (readonly [string, MissingId])[]): Promise<ForeignId[]> {
    try {
      return await this.#repository.findForeign(taken.map(([, missing]) => missing))
    } catch (error) {
      for (const [key, missing] of taken) this.#missing.set(key, missing)
      throw error
    }
  }

  #count(counted: Counted): void {
    const minute = this.#minute()
    const shared = this.#sharedMinute(counted, minute)
    const { action } = counted
    const of: Counted = shared === undefined ? counted : { action, tenantId: null }
    const at = shared ?? minute
    const key = keyOf(of, at)
    const row = this.#rows.get(key) ?? { entry: this.#newEntry(of), minute: at, isStored: false }
    row.entry.count++
    row.isStored = false
    this.#rows.set(key, row)
  }

  /** The minute of the row that the caller shares with others; undefined when it has one, or may have one, of its own. */
  #sharedMinute(counted: Counted, minute: number): number | undefined {
    if (this.#rows.has(keyOf(counted, minute))) return undefined
    if (this.#rows.size >= maxHeldRows) return 0
    return this.#countOf(counted.action, minute) < maxRows ? undefined : minute
  }

  #newEntry({ action, tenantId, actor = null, subject = null, target = null, address = null }: Counted): AuditEntry {
    const at = this.#clock.now().toISOString()
    return { id: crypto.randomUUID(), action, at, count: 0, tenantId, actor, subject, target, address, counts: null }
  }

  #countOf(action: AuditAction, minute: number): number {
    let count = 0
    for (const row of this.#rows.values()) if (row.entry.action === action && row.minute === minute) count++
    return count
  }

  #minute(): number {
    return Math.floor(this.#clock.now().getTime() / minuteMs)
  }
}

function actorOf({ tenantId, ownerId: userId }: Owner): NonNullable<AuditEntry['actor']> {
  return { tenantId, userId }
}

function keyOf({ action, tenantId, actor, target, address }: Counted, minute: number): string {
  return JSON.stringify([minute, action, tenantId, actor?.tenantId, actor?.userId, target, address])
}

function isSame(one: Owner, other: Owner): boolean {
  return one.tenantId === other.tenantId && one.ownerId === other.ownerId
}
