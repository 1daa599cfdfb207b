import type { ContentBlock } from '../contract/content-block.ts'
import type { DataPart } from '../contract/data-part.ts'
import type { JsonValue } from '../contract/json-value.ts'
import type { WireError } from '../contract/errors.ts'
import type { EngineEvent, RunEvent, RunStartedEvent, TerminalEvent } from '../contract/event.ts'
import type { AgentId, MessageId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Page } from '../contract/page.ts'
import type { Owner } from '../contract/principal.ts'
import type { Run, TerminalStatus, WhenBusy } from '../contract/run.ts'
import type { RunMetrics } from '../contract/metrics.ts'
import type { AppendOutcome, RunKey } from './event-log.ts'
import type { PageRequest } from './session-repository.ts'

/** What may be stored at most, checked in the transaction that would store more; no limit where nothing is said. */
export interface StoredLimits {
  readonly principalActiveRuns?: number | undefined
  readonly tenantActiveRuns?: number | undefined
  readonly principalSessions?: number | undefined
  readonly principalAttachmentBytes?: number | undefined
}

/** A run to start, with the events that its log may begin with. */
export interface NewRun {
  readonly runId: RunId
  readonly sessionId: SessionId
  readonly agentId: AgentId
  readonly userMessageId: MessageId
  readonly messageId: MessageId
  readonly prompt: readonly ContentBlock[]
  /** What the agent receives beside the prompt. */
  readonly input?: JsonValue | undefined
  /** The run whose prompt this one takes the place of. */
  readonly editOf?: RunId | undefined
  /** The agent was made for this run: only the process `processId` has it. */
  readonly isInline?: boolean | undefined
  /** Tells a retried start from a reused id. */
  readonly inputHash: string
  /** The process that writes the run when it begins at once. */
  readonly processId: string
  readonly leaseMs: number
  /** The event at seq 1 when the run begins at once. */
  readonly startedEvent: RunStartedEvent
  /** The event at seq 1 when it has to wait. */
  readonly queuedEvent: EngineEvent
  readonly whenBusy: WhenBusy
  /** How many runs may wait in one session. */
  readonly maxQueuedRuns: number
  readonly limits?: StoredLimits | undefined
  /** The caller's trace, as a W3C traceparent; absent without one. */
  readonly traceparent?: string | undefined
}

/** A process that takes runs on: those it starts, those it promotes, those whose lease has expired. */
export interface LeaseHolder {
  readonly processId: string
  readonly leaseMs: number
  /** The agents that it drives; none when it is stopping. */
  readonly agentIds: readonly AgentId[]
}

/** A run that was promoted, with the events of its log so far. */
export interface PromotedRun {
  readonly owned: OwnedRun
  readonly events: readonly RunEvent[]
}

/** What the runs of a chain used before this one: a budget is the chain's, so that a run that kills its process ends. */
export interface ContinuationUsage {
  readonly continuations: number
  /** Of parts that a caller asked for (`runs.continue`): they widen the window of the history, and no budget counts them. @default 0 */
  readonly asked?: number
  readonly outputTokens: number
  readonly costUsd: number
}

/** A run that begins in the transaction that stores it: there is nothing to wait for. */
type ImmediateRun = Omit<NewRun, 'prompt' | 'input' | 'queuedEvent' | 'whenBusy' | 'maxQueuedRuns' | 'limits'>

/** A run that goes on from another one; its prompt is the server's. */
export interface LinkedRun extends ImmediateRun {
  readonly prompt: readonly ContentBlock[]
  /** That of the run that it goes on from. */
  readonly input?: JsonValue | undefined
  readonly continuationOf: RunId
  readonly continuationUsage: ContinuationUsage
}

/** Another run for a prompt that is stored already. */
export interface RepeatedRun extends ImmediateRun {
  readonly retryOf: RunId
  readonly limits?: StoredLimits | undefined
}

/** A run that a caller asked for, which goes on from an answer that reached its greatest length. */
export interface FurtherRun extends ImmediateRun {
  readonly continuationOf: RunId
  readonly prompt: readonly ContentBlock[]
  /** That of the run that it goes on from. */
  readonly input?: JsonValue | undefined
  readonly limits?: StoredLimits | undefined
}

/** The fence of a run's first writer. */
export const firstFence = 1

/** A run that was promoted has a higher fence than one that its start began: the process whose start is in doubt tells them apart. */
export const promotedFence = firstFence + 1

/** A run as its writer holds it. */
export interface OwnedRun {
  readonly key: RunKey
  readonly owner: Owner
  readonly run: Run
  /** The writer's fence; a takeover raises it. */
  readonly fence: number
  /** No other process has the agent: the run ends with the process that it was started in. */
  readonly isInline: boolean
  readonly continuationUsage: ContinuationUsage
  /** The session's title as the transaction that began the run has seen it. Absent in a run that was taken over: read the session. */
  readonly readTitle?: (() => Promise<string | null>) | undefined
  /** The trace of the caller that asked for the run; absent without one. */
  readonly traceparent?: string | undefined
}

/** What became of a start: the run is this process's to drive, it waits for its turn, or it was there already. */
export type StartOutcome =
  | { readonly type: 'started'; readonly owned: OwnedRun }
  | ({ readonly type: 'queued' } & QueuedStart)
  | { readonly type: 'existing'; readonly run: Run }

/** A run that was queued. */
export interface QueuedStart {
  readonly key: RunKey
  readonly run: Run
  /** The runs it replaces: those that were queued have ended, the active one has the intent to cancel. */
  readonly replaced: readonly RunKey[]
}

/** What became of a run's end. `promoted` is the next run of the session, when it is this process's to drive. */
export type FinishOutcome =
  | { readonly type: 'stored'; readonly promoted: PromotedRun | undefined }
  | { readonly type: 'fenced' }

/** How a run ended, with the terminal event at `seq` and the answer as one message. */
export interface RunEnd {
  readonly status: TerminalStatus
  readonly seq: number
  readonly batchId: string
  readonly event: TerminalEvent
  /** Events that become durable with the terminal one, right before it. */
  readonly before?: readonly RunEvent[]
  readonly content: readonly ContentBlock[]
  /** The checked output of an agent with an output schema; its event is the last of `before`. */
  readonly output?: JsonValue
  /** What was emitted, the newest of each name and id. */
  readonly data?: readonly DataPart[]
  readonly metrics: RunMetrics
  readonly error: WireError | null
}

/** The event that a run goes on with whose process was lost before its answer began. */
export interface RunResumption {
  readonly seq: number
  readonly batchId: string
  readonly event: RunEvent
}

/** A run whose lease has expired and that this process has taken over. */
export interface ClaimedRun extends OwnedRun {
  readonly cancelRequested: boolean
}

/**
 * Runs: their start and end (one transaction each), their leases, and the intent to cancel. Calls that take an owner throw
 * `SESSION_DELETED` about a run of a deleted session.
 */
export interface RunRepository {
  /**
   * One transaction: claims the session for the run (making the session when it is new), stores the user message, the run
   * and its first event. The same id with the same hash answers `existing`. In a busy session it does as `whenBusy` says:
   * the run is stored after those that wait, or in place of all before it.
   *
   * The attachments that the prompt names are bound by the same transaction: from then on they live as long as their message.
   *
   * @throws VerbatimError `SESSION_BUSY`, `RUN_ID_REUSED`, `RATE_LIMITED`, `ATTACHMENT_NOT_FOUND`, `UNAVAILABLE`
   */
  startRun(owner: Owner, run: NewRun): Promise<StartOutcome>
  /**
   * One transaction: stores the assistant message, the terminal event and the run's end, and releases the session or promotes the
   * first run that waits: its user message, `run_started`, and the lease of `holder`. A run of an agent that the holder lacks is
   * promoted with a lease that has expired: a process that has the agent takes it over at once. An inline run is promoted with a lease
   * of the process that has its agent.
   * `fenced` when another process has taken the run over. Safe to call again with the same end.
   *
   * @throws VerbatimError `UNAVAILABLE` until the signal aborts
   */
  finishRun(owned: OwnedRun, end: RunEnd, options: { holder: LeaseHolder; signal: AbortSignal }): Promise<FinishOutcome>
  /**
   * One transaction: stores the event with which the run goes on. `fenced` when another process has taken the run over, or has written
   * at its seq. Safe to call again with the same resumption.
   *
   * @throws VerbatimError `UNAVAILABLE` until the signal aborts
   */
  resumeRun(owned: OwnedRun, resumption: RunResumption & { readonly signal: AbortSignal }): Promise<AppendOutcome>
  /**
   * {@link finishRun} and the start of a linked run in the same transaction: the session stays busy, now with `next`, and runs
   * that wait go on waiting. Answers `next` as its writer holds it. `fenced` also when a caller has asked to cancel the run
   * meanwhile. Safe to call again.
   *
   * @throws VerbatimError `UNAVAILABLE` until the signal aborts
   */
  continueRun(
    owned: OwnedRun,
    end: RunEnd,
    options: { next: LinkedRun; signal: AbortSignal },
  ): Promise<OwnedRun | 'fenced'>
  /**
   * One transaction: claims the session for the run, when the answer of `run.retryOf` is its newest message or the newest message
   * is the last part of the answer that `run.retryOf` began, and stores the run and its first event. The same id with the same hash answers `existing`.
   *
   * @throws VerbatimError `SESSION_BUSY`, `RUN_ID_REUSED`, `RUN_NOT_RETRYABLE`, `RATE_LIMITED`, `UNAVAILABLE`
   */
  retryRun(owner: Owner, run: RepeatedRun): Promise<StartOutcome>
  /**
   * One transaction: claims the session for the run, when the answer of `run.continuationOf` is its newest message, and stores the run,
   * its prompt and its first event. The same id with the same hash answers `existing`.
   *
   * @throws VerbatimError as {@link RunRepository.retryRun}
   */
  continueAnswer(owner: Owner, run: FurtherRun): Promise<StartOutcome>
  /** One transaction: ends a run that waits, without messages. Undefined when the run does not wait (any more). */
  cancelQueuedRun(owner: Owner, runId: RunId): Promise<Run | undefined>
  getRun(owner: Owner, runId: RunId): Promise<Run | undefined>
  /** One look at the run as its writer holds it, whichever process that is. @throws VerbatimError `UNAVAILABLE`, `SESSION_DELETED` */
  findOwnedRun(owner: Owner, runId: RunId): Promise<OwnedRun | undefined>
  /**
   * Those of `keys` that are stored, runs of deleted sessions included. With `isCaughtUp`, the read sees all that its primary has
   * stored by the call, also directly after an election. Writes nothing.
   *
   * @throws VerbatimError `UNAVAILABLE`
   */
  findStored(keys: readonly RunKey[], options?: { isCaughtUp?: boolean }): Promise<RunKey[]>
  /** Those of `keys` whose runs have not ended. @throws VerbatimError `UNAVAILABLE` */
  findActive(keys: readonly RunKey[]): Promise<RunKey[]>
  /** Who writes the runs, of those of `keys` that are running. @throws VerbatimError `UNAVAILABLE` */
  findHolders(keys: readonly RunKey[]): Promise<RunHolder[]>
  /** Newest first. @throws VerbatimError `INVALID_CURSOR` */
  listRuns(owner: Owner, sessionId: SessionId, page: PageRequest): Promise<Page<Run>>
  /** Stores the intent to cancel when the run is running; answers the run as it then is. */
  requestCancel(owner: Owner, runId: RunId): Promise<Run | undefined>
  /** The runs of this process that a caller has asked to cancel and that have not ended. Costs the same however many runs there are. */
  findCancelRequests(processId: string): Promise<RunKey[]>
  /** Prolongs the leases of `owned` by the database's clock. A run missing from the answer is no longer this process's. */
  renewLeases(owned: readonly OwnedRun[], lease: { processId: string; leaseMs: number }): Promise<RenewedLease[]>
  /** Gives up the leases of `owned`, so that another process takes the runs over without waiting for them to expire. */
  releaseLeases(owned: readonly OwnedRun[], processId: string): Promise<void>
  /**
   * Takes over at most one run whose lease has expired, raising its fence. A run of an agent that the holder lacks is left to
   * processes that have it for one more lease.
   */
  claimExpiredLease(holder: LeaseHolder): Promise<ClaimedRun | undefined>
  /** Runs that ended at least `endedForMs` ago and are not archived yet, the oldest first, at most `maxRuns`. */
  findRunsToArchive(endedForMs: number, maxRuns: number): Promise<RunKey[]>
  /** The runs' events are archived: {@link findRunsToArchive} finds them no more. What is left expires at `expiresAt`. */
  markArchived(keys: readonly RunKey[], options: { expiresAt: Date }): Promise<void>
}

/** The process that a run's lease names. */
export interface RunHolder {
  readonly key: RunKey
  readonly processId: string
}

/** A lease that this process goes on holding, and whether a caller has asked to cancel its run. */
export interface RenewedLease {
  readonly key: RunKey
  readonly cancelRequested: boolean
}
