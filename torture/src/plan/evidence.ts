/** What is known of a plan once it has run: the oracle's input. */
import type { CancelRunResult, Run } from '@verbatim/core'
import type { Journal } from '../clients/journal.ts'
import type { SdkJournal } from '../clients/sdk-reader.ts'
import type { Plan, SessionPlan, TurnPlan } from './plan.ts'

export interface RunEvidence {
  readonly session: SessionPlan
  readonly turn: TurnPlan
  readonly runId: string
  /** Answers to starts, in the order they came. */
  readonly acks: Run[]
  /** True when the real client's start was confirmed. */
  isSdkAcked: boolean
  /** True when nobody asks about the start any more. */
  isAbandoned: boolean
  readonly cancels: CancelRunResult[]
  /** True when a cancel was sent at all, answered or not. */
  wasCancelSent: boolean
  readonly journals: Journal[]
  readonly sdkJournals: SdkJournal[]
}

export interface Evidence {
  readonly plan: Plan
  readonly runs: readonly RunEvidence[]
  /** What was seen to be wrong while it ran. */
  readonly violations: string[]
}

export function isAcked(run: RunEvidence): boolean {
  return run.acks.length > 0 || run.isSdkAcked
}
