/**
 * Recovery: a run whose lease lapsed (its process died, hung or was cut off) is taken over and ended, so that every run ends (P3).
 * The takeover raises the fence; the terminal event at the next seq shuts the log to a zombie that wakes up later (P5).
 */
import { raceSignal } from '../async/race-signal.ts'
import { sleep } from '../async/sleep.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { EventBatch } from '../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../contract/reduce-events.ts'
import type { Answer } from '../contract/reduce-events.ts'
import type { Clock } from '../ports/clock.ts'
import type { EventLog } from '../ports/event-log.ts'
import type { Logger } from '../ports/logger.ts'
import type { OwnedRun, RunRepository } from '../ports/run-repository.ts'
import { terminalEvent } from './drive-run.ts'
import { createMetricsCollector } from './run-metrics.ts'
import type { RunTails } from './run-tail.ts'
import type { Turns } from './turns.ts'

export interface RecoveryDeps {
  readonly runRepository: RunRepository
  readonly log: EventLog
  readonly tails: RunTails
  readonly clock: Clock
  readonly logger: Logger
  readonly processId: string
  readonly leaseMs: number
  /** Between two looks for lapsed leases, in milliseconds. */
  readonly recoveryMs: number
  readonly turns: Turns
}

const maxBatchesPerRead = 256

/** Looks for lapsed runs until `signal` aborts; never rejects. */
export async function recoverRuns(deps: RecoveryDeps, signal: AbortSignal): Promise<void> {
  while (!signal.aborted) {
    try {
      while (!signal.aborted && (await recoverOne(deps, signal))) continue
    } catch {
      if (signal.aborted) return
      deps.logger.warn({}, 'Recovery could not reach the database; trying again')
    }
    await sleep(deps.recoveryMs, signal).catch(() => {}) // an abort ends the loop
  }
}

/** Takes over and ends at most one lapsed run; answers whether there was one. */
async function recoverOne(deps: RecoveryDeps, signal: AbortSignal): Promise<boolean> {
  const claiming = deps.runRepository.claimLapsedRun({ processId: deps.processId, leaseMs: deps.leaseMs })
  const claimed = await raceSignal(claiming, signal) // a hung database must not keep this process from closing
  if (claimed === undefined) return false
  // A zombie may append until the terminal event is in: each time it does, the end moves behind what it wrote.
  while ((await interrupt(deps, claimed, signal)) === 'fenced') {
    const run = await deps.runRepository.getRun(claimed.owner, claimed.run.id)
    if (run?.status !== 'running') break
  }
  deps.logger.info({ runId: claimed.run.id, fence: claimed.fence }, 'A run whose process was lost has been ended')
  return true
}

async function interrupt(deps: RecoveryDeps, claimed: OwnedRun, signal: AbortSignal): Promise<'stored' | 'fenced'> {
  const error = new VerbatimError(
    'RUN_FENCED',
    'The process that made this answer was lost; the part that was stored is kept',
  ).toWire()
  const { answer, metrics } = await replay(deps, claimed, signal)
  const messageId = claimed.run.messageId
  const event = terminalEvent({ status: 'interrupted', error }, { messageId, metrics })
  const seq = answer.lastSeq + 1
  const end = {
    status: 'interrupted',
    seq,
    batchId: crypto.randomUUID(),
    event,
    content: answer.content,
    metrics,
    error,
  } as const
  const outcome = await deps.runRepository.finishRun(claimed, end, {
    offer: deps.turns.offer(),
    signal: AbortSignal.any([signal, AbortSignal.timeout(deps.leaseMs)]),
  })
  if (outcome.type === 'fenced') return 'fenced'
  deps.tails.hint(claimed.key)
  deps.turns.begin(outcome.next)
  return 'stored'
}

/** The answer and the figures as the log holds them; times that only the lost process knew are not made up. */
async function replay(deps: RecoveryDeps, claimed: OwnedRun, signal: AbortSignal) {
  const collector = createMetricsCollector()
  let startedAt = claimed.run.createdAt
  let answer: Answer = emptyAnswer
  for (let batches = await readAfter(deps, claimed, { after: 0, signal }); batches.length > 0;) {
    for (const batch of batches) {
      answer = reduceEvents(answer, batch)
      for (const event of batch.events) collector.add(event, 0)
      startedAt = batch.events.find((event) => event.type === 'run_started')?.startedAt ?? startedAt
    }
    batches = await readAfter(deps, claimed, { after: answer.lastSeq, signal })
  }
  const latencyMs = deps.clock.now().getTime() - Date.parse(startedAt)
  return { answer, metrics: { ...collector.total(Math.max(0, latencyMs)), timeToFirstTokenMs: null } }
}

function readAfter(
  { log }: RecoveryDeps,
  { key }: OwnedRun,
  range: { after: number; signal: AbortSignal },
): Promise<EventBatch[]> {
  return log.read(key, { ...range, maxBatches: maxBatchesPerRead })
}
