/** What clients saw of a plan: the checker's input. */
import type { CancelRunResult, Run } from '@verbatim/core'
import type { ChunkHistory } from '../clients/ai-sdk-reader.ts'
import type { History } from '../clients/history.ts'
import type { SdkHistory } from '../clients/sdk-reader.ts'
import type { Plan, SessionPlan, TurnPlan } from './plan.ts'

export interface RunEvidence {
  readonly session: SessionPlan
  readonly turn: TurnPlan
  readonly runId: string
  /** The run that this one retries. */
  readonly retryOf: string | null
  /** The retry of this run. */
  retriedBy: RunEvidence | undefined
  /** Answers to starts, in their order. */
  readonly acks: Run[]
  /** The times of the first start and of its first confirmation, by the harness's clock. */
  sentAtMs: number
  ackedAtMs: number
  /** Whether a server confirmed the upload of the prompt's image. */
  isUploaded: boolean
  /** Whether a server confirmed the real client's start. */
  isSdkAcked: boolean
  /** Whether no client asks about the start any more. */
  isAbandoned: boolean
  readonly cancels: CancelRunResult[]
  /** Whether a cancel was sent, answered or not. */
  wasCancelSent: boolean
  readonly histories: History[]
  readonly sdkHistories: SdkHistory[]
  readonly chunkHistories: ChunkHistory[]
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
    isUploaded: false,
    isSdkAcked: false,
    isAbandoned: false,
    cancels: [],
    wasCancelSent: false,
    histories: [],
    sdkHistories: [],
    chunkHistories: [],
  }
}

export interface Evidence {
  readonly plan: Plan
  readonly runs: readonly RunEvidence[]
  /** Whether MongoDB was so slow that a process could lose its leases without a fault of the plan. */
  readonly wasSlow: boolean
  /** How late MongoDB or the harness itself was in total, in milliseconds. */
  readonly slowMs: number
  /** What the clients themselves found to be wrong. */
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

/** Whether `run` was certainly admitted before `other`: a server confirmed it before a client sent the other. */
export function wasAdmittedBefore(run: RunEvidence, other: RunEvidence): boolean {
  return run.ackedAtMs < other.sentAtMs
}
