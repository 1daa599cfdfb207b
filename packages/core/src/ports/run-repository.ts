import type { ContentBlock } from '../contract/content-block.ts'
import type { WireError } from '../contract/errors.ts'
import type { RunEvent, TerminalEvent } from '../contract/event.ts'
import type { AgentId, MessageId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Page } from '../contract/page.ts'
import type { Owner } from '../contract/principal.ts'
import type { Run, RunStatus, TerminalStatus } from '../contract/run.ts'
import type { RunMetrics } from '../contract/metrics.ts'
import type { RunKey } from './event-log.ts'
import type { PageRequest } from './session-repository.ts'

export interface NewRun {
  readonly runId: RunId
  readonly sessionId: SessionId
  readonly agentId: AgentId
  readonly userMessageId: MessageId
  readonly messageId: MessageId
  readonly prompt: readonly ContentBlock[]
  /** Tells a retried start from a reused id. */
  readonly inputHash: string
  /** The process that will write the run. */
  readonly processId: string
  readonly leaseMs: number
  /** The event at seq 1. */
  readonly firstEvent: RunEvent
}

/** What the runs of a chain used before this one: a budget is the chain's, so that a run that kills its process ends. */
export interface ChainUse {
  readonly continuations: number
  readonly outputTokens: number
  readonly costUsd: number
}

/** A run that goes on from an interrupted one; its prompt is the server's. */
export interface LinkedRun extends NewRun {
  readonly continues: RunId
  readonly chain: ChainUse
}

/** Another run for a prompt that is stored already. */
export interface RepeatedRun extends Omit<NewRun, 'prompt'> {
  readonly retries: RunId
}

/** A run as its writer holds it. */
export interface OwnedRun {
  readonly key: RunKey
  readonly owner: Owner
  readonly run: Run
  /** The writer's fence; a takeover raises it. */
  readonly fence: number
  readonly chain: ChainUse
}

export type StartOutcome =
  | { readonly type: 'started'; readonly owned: OwnedRun }
  | { readonly type: 'existing'; readonly run: Run }

/** How a run ended, with the terminal event at `seq` and the answer as one message. */
export interface RunEnd {
  readonly status: TerminalStatus
  readonly seq: number
  readonly batchId: string
  readonly event: TerminalEvent
  /** Events that become durable with the terminal one, right before it. */
  readonly before?: readonly RunEvent[]
  readonly content: readonly ContentBlock[]
  readonly metrics: RunMetrics
  readonly error: WireError | null
}

/** A run whose lease lapsed and that this process has taken over. */
export interface ClaimedRun extends OwnedRun {
  readonly cancelRequested: boolean
}

/** Runs: their start and end (one transaction each), their leases, and the intent to cancel. */
export interface RunRepository {
  /**
   * One transaction: claims the session for the run (making the session when it is new), stores the user message, the run
   * and its first event. The same id with the same hash answers `existing`.
   *
   * @throws VerbatimError `SESSION_BUSY`, `RUN_ID_REUSED`, `UNAVAILABLE`
   */
  startRun(owner: Owner, run: NewRun): Promise<StartOutcome>
  /**
   * One transaction: stores the assistant message, the terminal event, the run's end, and releases the session.
   * `fenced` when another process has taken the run over. Safe to call again with the same end.
   *
   * @throws VerbatimError `UNAVAILABLE` until the signal aborts
   */
  finishRun(owned: OwnedRun, end: RunEnd, options: { signal: AbortSignal }): Promise<'stored' | 'fenced'>
  /**
   * {@link finishRun} and the start of a linked run in the same transaction: the session stays busy, now with `next`. Answers
   * `next` as its writer holds it. `fenced` also when somebody has asked to cancel the run meanwhile. Safe to call again.
   *
   * @throws VerbatimError `UNAVAILABLE` until the signal aborts
   */
  continueRun(
    owned: OwnedRun,
    end: RunEnd,
    options: { next: LinkedRun; signal: AbortSignal },
  ): Promise<OwnedRun | 'fenced'>
  /**
   * One transaction: claims the session for the run, when the answer of `run.retries` is its newest message, and stores the
   * run and its first event. The same id with the same hash answers `existing`.
   *
   * @throws VerbatimError `SESSION_BUSY`, `RUN_ID_REUSED`, `RUN_NOT_RETRYABLE`, `UNAVAILABLE`
   */
  retryRun(owner: Owner, run: RepeatedRun): Promise<StartOutcome>
  getRun(owner: Owner, runId: RunId): Promise<Run | undefined>
  getStatus(key: RunKey): Promise<RunStatus | undefined>
  /** Newest first. @throws VerbatimError `INVALID_CURSOR` */
  listRuns(owner: Owner, sessionId: SessionId, page: PageRequest): Promise<Page<Run>>
  /** Stores the intent to cancel when the run is running; answers the run as it then is. */
  requestCancel(owner: Owner, runId: RunId): Promise<Run | undefined>
  /** Prolongs the leases of `owned` by the database's clock. A run missing from the answer is no longer this process's. */
  renewLeases(owned: readonly OwnedRun[], lease: { processId: string; leaseMs: number }): Promise<RenewedLease[]>
  /** Gives up the leases of `owned`, so that another process takes the runs over without waiting for them to lapse. */
  releaseLeases(owned: readonly OwnedRun[], processId: string): Promise<void>
  /** Takes over at most one run whose lease lapsed, raising its fence. */
  claimLapsedRun(lease: { processId: string; leaseMs: number }): Promise<ClaimedRun | undefined>
  /** A run that ended at least `endedForMs` ago and is not archived yet. */
  findRunToArchive(endedForMs: number): Promise<RunKey | undefined>
  /** The run's events are archived: it is not found any more by {@link findRunToArchive}. */
  markArchived(key: RunKey): Promise<void>
}

export interface RenewedLease {
  readonly key: RunKey
  readonly cancelRequested: boolean
}
