import type { EventBatch, RunEvent } from '../contract/event.ts'
import type { RunId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'

declare const runKeyBrand: unique symbol

/** A run's name in storage. Only {@link EventLog.keyOf} makes one, from the owner, so a log cannot be read without its owner. */
export type RunKey = string & { readonly [runKeyBrand]: true }

/** One commit's events of one run. */
export interface LogEntry {
  readonly key: RunKey
  /** Whose run it is. */
  readonly owner: Owner
  readonly firstSeq: number
  /** Distinguishes the entry from another writer's at the same seq: the same id means "my earlier attempt was stored". */
  readonly batchId: string
  readonly events: readonly RunEvent[]
}

/** The outcome of an entry: it is durable, or its seq holds another writer's entry. */
export type AppendOutcome = 'stored' | 'fenced'

/** The durable log of runs' events: dense seqs from 1, one writer a run, majority-committed. */
export interface EventLog {
  /** The key of `owner`'s run; another owner's run of the same id has another key. */
  keyOf(owner: Owner, runId: RunId): RunKey
  /**
   * Stores the entries, each on its own: one that is fenced does not delay the others. Resolves when all are
   * majority-committed or fenced, in the order given. Safe to call again with the same entries.
   *
   * @throws VerbatimError `UNAVAILABLE` when the log could not be written until `signal` aborted;
   * any of the entries may or may not be stored then.
   */
  append(entries: readonly LogEntry[], options: { signal: AbortSignal }): Promise<AppendOutcome[]>
  /**
   * Committed batches past `after`, in order, at most `maxBatches`; empty when there are none (yet). With `maxBytes`, the read
   * stops after the first batch, or before the one that exceeds about so many bytes. With `isLinearizable`, the read sees all that
   * was confirmed before the call, also right after an election; that costs one more round trip.
   *
   * @throws VerbatimError `CURSOR_EXPIRED` when the run has ended and nothing of it is kept where `after` points;
   * `SESSION_DELETED` when the run went with its session; `CONTENT_UNREADABLE`
   */
  read(
    key: RunKey,
    options: { after: number; maxBatches: number; maxBytes?: number; isLinearizable?: boolean; signal?: AbortSignal },
  ): Promise<EventBatch[]>
  /**
   * The next entries of many runs at once, some of each and in order, as hints are: one without an entry says to read the log. Of a run
   * without news there is none, and none of one whose log is an archive by now.
   *
   * @throws VerbatimError `UNAVAILABLE`
   */
  readNext(positions: readonly LogPosition[]): Promise<LogGrowth[]>
  /**
   * Moves the events of ended runs into a few documents each, which expire at `expiresAt`. Every cursor stays valid, also for active
   * readers. Safe to call again, also by two processes at once. A run that cannot be archived rejects the call; any of the others may be
   * archived then.
   */
  archive(keys: readonly RunKey[], options: { expiresAt: Date }): Promise<void>
  /** Seq of the newest committed event, 0 when there is none; needs no key of sealed content. @throws VerbatimError `SESSION_DELETED` */
  lastSeq(key: RunKey, options: { signal?: AbortSignal }): Promise<number>
}

/** An entry that was added to a run's log, with its events. */
export interface GrownEntry {
  readonly firstSeq: number
  /** About what its events take in memory. */
  readonly bytes: number
  /** The committed batch, as {@link EventLog.read} brings it. @throws as that, and then the log has to be read */
  open(): Promise<EventBatch>
}

/** What is known of a run's log: the events up to the seq `after`. */
export interface LogPosition {
  readonly key: RunKey
  readonly after: number
}

/** A run's log has grown. */
export interface LogGrowth {
  readonly key: RunKey
  readonly entry?: GrownEntry | undefined
}

/** Receives hints. */
export interface LogListener {
  /** A hint without an entry says to read the log. The next hint waits for what this returns. */
  onGrowth(key: RunKey, entry?: GrownEntry): Promise<void> | void
  /** Hints may have been lost; called first when the hints begin. */
  onGap(): void
  /** There are no hints, because the database gives none: followers have to poll. */
  onUnsupported(reason: string): void
}

/** Tells which runs' logs have grown in any process. A hint may be late, doubled or lost, so a follower that waits also polls. */
export interface LogWatcher {
  /** Gives hints until `signal` aborts, or after `onUnsupported`; never rejects. */
  watch(listener: LogListener, signal: AbortSignal): Promise<void>
}
