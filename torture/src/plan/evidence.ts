/** What is known of a plan once it has run: the checker's input. */
import type { CancelRunResult, Run } from '@verbatim/core'
import type { History } from '../clients/history.ts'
import type { SdkHistory } from '../clients/sdk-reader.ts'
import type { Plan, SessionPlan, TurnPlan } from './plan.ts'

export interface RunEvidence {
  readonly session: SessionPlan
  readonly turn: TurnPlan
  readonly runId: string
  /** The run whose prompt this one answers again. */
  readonly retryOf: string | null
  /** The run that answered this one's prompt again. */
  retriedBy: RunEvidence | undefined
  /** Answers to starts, in the order they came. */
  readonly acks: Run[]
  /** When the start was first sent, and when it was first confirmed, by the harness's one clock. */
  sentAtMs: number
  ackedAtMs: number
  /** True when the real client's start was confirmed. */
  isSdkAcked: boolean
  /** True when nobody asks about the start any more. */
  isAbandoned: boolean
  readonly cancels: CancelRunResult[]
  /** True when a cancel was sent at all, answered or not. */
  wasCancelSent: boolean
  readonly histories: History[]
  readonly sdkHistories: SdkHistory[]
}

export function newEvidence(session: SessionPlan, turn: TurnPlan, retryOf: string | null = null): RunEvidence {
  return {
    session,
    turn,
    runId: retryOf === null ? turn.prompt.runId : (turn.retryId ?? ''),
    retryOf,
    retriedBy: undefined,
    acks: [],
    sentAtMs: Number.POSITIVE_INFINITY,
    ackedAtMs: Number.POSITIVE_INFINITY,
    isSdkAcked: false,
    isAbandoned: false,
    cancels: [],
    wasCancelSent: false,
    histories: [],
    sdkHistories: [],
  }
}

export interface Evidence {
  readonly plan: Plan
  readonly runs: readonly RunEvidence[]
  /** Whether MongoDB was so slow that a process could lose its leases without a fault of the plan's. */
  readonly wasSlow: boolean
  /** For how long MongoDB or the harness itself was late, in milliseconds. */
  readonly slowMs: number
  /** What was seen to be wrong while it ran. */
  readonly violations: string[]
}

export function isAcked(run: RunEvidence): boolean {
  return run.acks.length > 0 || run.isSdkAcked
}

export function noteSent(run: RunEvidence): void {
  run.sentAtMs = Math.min(run.sentAtMs, performance.now())
}

export function noteAcked(run: RunEvidence): void {
  run.ackedAtMs = Math.min(run.ackedAtMs, performance.now())
}

/** Whether `run` is known to have been admitted before `other`: it was confirmed before the other was sent at all. */
export function wasAdmittedBefore(run: RunEvidence, other: RunEvidence): boolean {
  return run.ackedAtMs < other.sentAtMs
}
