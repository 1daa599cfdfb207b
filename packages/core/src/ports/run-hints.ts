/**
 * Hints: how the process learns that another process has written to a run that is followed here. A hint is never truth, it says "look now":
 * it may be late, doubled, wrong or lost, so polls look as well, and only the log ends a follow. A hint may bring the entry along, when that
 * is majority-committed (P1); the tail publishes it when it is exactly the next one, and reads the log otherwise.
 */
import type { EventBatch } from '../contract/event.ts'
import type { GrownEntry, RunKey } from './event-log.ts'
import type { Logger } from './logger.ts'
import type { RunHolder } from './run-repository.ts'

/** The newest committed batches of a run that this process writes or follows. */
export interface LogTail {
  readonly key: RunKey
  /** Seq of the newest known event; 0 before the first. */
  readonly lastSeq: number
  /** True while this process writes the run. */
  readonly isLocal: boolean
  /** True while another process may write to it. */
  readonly isRemote: boolean
  /** Batches past `after`, empty when all are seen; undefined when they are not in memory. */
  after(after: number): EventBatch[] | undefined
  /** Resolves at the next batch, or when the process does not write the run any more. @throws the signal's reason when it aborts */
  wait(signal: AbortSignal): Promise<void>
}

/** A source of hints at the runs that other processes write. */
export interface RunHints {
  /** A follower waits for a run of another process: from now on hints at it are of use. Called at each such wait. */
  want(tail: LogTail): void
  /** True while hints at the run come: polls are its safety net then, and the way to learn of it otherwise. */
  covers(tail: LogTail): boolean
  /** Resolves when the source has closed everything; abort `stopping` first. */
  closed(): Promise<void>
}

/** What the engine offers to a source of hints that other processes give. */
export interface HintedProcess {
  /** The tail of a run that is written or followed here. */
  tailOf(key: RunKey): LogTail | undefined
  /** The processes that write the runs, of those that a process writes now. @throws VerbatimError `UNAVAILABLE` */
  findHolders(keys: readonly RunKey[]): Promise<RunHolder[]>
  /** A hint. The next one about the run waits for what this returns. */
  onGrowth(key: RunKey, entry?: GrownEntry): Promise<void> | void
  readonly pollMs: number
  readonly logger: Logger
  /** Aborts when the engine closes. */
  readonly stopping: AbortSignal
}

/** Hints that the processes of a fleet give each other: `listenForPeers` of `@verbatim/core/peer-hints`. */
export interface PeerHints extends AsyncDisposable {
  /** Names this process in leases. It ends with the address where others receive its hints. */
  readonly processId: string
  /** For one engine, which closes it. */
  open(process: HintedProcess): RunHints
  /** Stops listening and closes every connection. Safe to call twice. */
  close(): Promise<void>
}
