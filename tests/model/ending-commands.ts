/** Runs end: by their writer, by the process that took them over, by zombies; again, with a continuation, or after a cancel. */
import type { TerminalStatus } from '@verbatim/core'
import type { LeaseHolder, PromotedRun, RunEnd } from '@verbatim/core/server'
import fc from 'fast-check'
import { expect } from 'vitest'
import { addRun, beginTurn, cancelledEvent, newRun, noContinuationUsage, startedEventOf } from './admission-commands.ts'
import * as rules from './log-model.ts'
import type { Model, ModelHolder, ModelRun } from './log-model.ts'
import { aim, count, heldRuns, holderOf, holdersOf, nth, pick, processIds, target, usually } from './log-step.ts'
import type { Step, Target } from './log-step.ts'
import { anySignal, metrics, owner, terminalEvent, textContent, textDelta } from './log-world.ts'
import type { World } from './log-world.ts'
import { takeOver } from './writing-commands.ts'

interface EndingInput {
  readonly status: TerminalStatus
  readonly settles: boolean
  readonly continues: boolean
  readonly holder: LeaseHolder
}

const endingInput = {
  status: fc.constantFrom<TerminalStatus>('completed', 'failed', 'cancelled', 'interrupted'),
  settles: fc.boolean(),
  continues: fc.boolean(),
  holder: holderOf,
}

interface FinishInput extends EndingInput {
  readonly run: Target
  readonly by: number
  /** By one who does not hold it any more, rather than by one who does. */
  readonly isLate: boolean
}

/** The end, by any process that held the run once: the writer, the taker, a zombie of either kind. */
export const finish: Step<FinishInput> = {
  input: fc.record({ run: target, by: nth, isLate: fc.boolean(), ...endingInput }),
  isPossible: (model) => heldRuns(model).length > 0,
  async run(model, world, { run: at, by: byAt, ...how }) {
    const run = aim(heldRuns(model), at)
    const preferred = holdersOf(run).filter(({ owned }) => (owned.fence === run.fence) !== how.isLate)
    const by = pick(preferred.length > 0 ? preferred : holdersOf(run), byAt)
    return await endRun(model, world, { run, by, how })
  },
}

interface RecoverInput {
  readonly run: Target
  readonly processId: string
  readonly how: EndingInput
}

/** As recovery does: an expired run is taken over and ended in one go, before another process writes, mostly for a running run. */
export const recover: Step<RecoverInput> = {
  input: fc.record({
    run: target,
    processId: processIds,
    how: fc.record({ ...endingInput, continues: usually(true, fc.constant(false)) }),
  }),
  isPossible: (model) => model.runs.some((run) => run.status === 'running'),
  async run(model, world, { run: from, processId, how }) {
    const taken = await takeOver.run(model, world, { by: processId, isShort: false, from, isVain: false })
    const [run] = taken
    const by = run?.takers.at(-1)
    // Without a holder when the answer to the claim was lost.
    if (run === undefined || by?.owned.fence !== run.fence) return taken
    return await endRun(model, world, { run, by, how })
  },
}

async function endRun(
  model: Model,
  world: World,
  { run, by, how }: { run: ModelRun; by: ModelHolder; how: EndingInput },
): Promise<ModelRun[]> {
  const isTaker = by !== run.writer
  const before = isTaker && how.settles ? [textDelta(world.word())] : []
  const common = { seq: by.nextSeq + before.length, batchId: crypto.randomUUID(), before, metrics, error: null }
  const known = [...run.log.slice(0, by.nextSeq - 1), ...before]
  const content = textContent(rules.textOfLog(known))
  if (isTaker && how.continues && model.runs.length < rules.maxRuns) {
    return await continueRun(model, world, { run, by, end: { ...common, content } })
  }
  const event = terminalEvent(how.status, run.messageId)
  const end: RunEnd = { ...common, content, status: how.status, event }
  return await finishRun(model, world, { run, by, end, holder: how.holder })
}

type Ending<TEnd> = { readonly run: ModelRun; readonly by: ModelHolder; readonly end: TEnd }

async function finishRun(
  model: Model,
  world: World,
  { run, by, end, holder }: Ending<RunEnd> & { readonly holder: LeaseHolder },
): Promise<ModelRun[]> {
  const expected = rules.endOutcome(run, by, false)
  const outcome = await world.storage.runRepository.finishRun(by.owned, end, { holder, signal: anySignal() })
  expect(outcome.type).toBe(expected)
  countEnd(run, by, expected)
  if (outcome.type === 'fenced') return refused(run, by)
  rules.storeEnd(run, by, end)
  const next = rules.promote(model, run.session, { holder, batchId: end.batchId })
  if (next === undefined) {
    expect(outcome.promoted).toBeUndefined()
    return [run]
  }
  const isMine = holder.agentIds.length > 0
  count(`promote: ${isMine ? 'to be driven' : 'left to others'}`)
  expectPromoted(outcome.promoted, isMine ? next : undefined)
  next.log.push({ ...startedEventOf(next), startedAt: expect.any(String) })
  const { promoted } = outcome
  beginTurn(next, promoted && { processId: holder.processId, owned: promoted.owned, nextSeq: 3 })
  return [run, next]
}

function countEnd(run: ModelRun, by: ModelHolder, outcome: string): void {
  count(`finish: by ${by === run.writer ? 'the writer' : 'a taker'}, ${outcome}`)
}

/** The process that took the run over reads the log again and writes after what a zombie has written. */
function refused(run: ModelRun, by: ModelHolder): ModelRun[] {
  if (by !== run.writer && !rules.isEnded(run)) by.nextSeq = run.log.length + 1
  return [run]
}

function expectPromoted(promoted: PromotedRun | undefined, next: ModelRun | undefined): void {
  expect(promoted?.owned).toEqual(next && expect.objectContaining({ key: next.key, fence: next.fence }))
  expect(promoted?.events.map(({ type }) => type)).toEqual(next && ['run_queued', 'run_started'])
}

async function continueRun(
  model: Model,
  world: World,
  { run, by, end }: Ending<Omit<RunEnd, 'event' | 'status'>>,
): Promise<ModelRun[]> {
  const { processId } = by
  const next = newRun(world, run.session, { whenBusy: 'reject', processId })
  const event = terminalEvent('interrupted', run.messageId, next.runId)
  const whole: RunEnd = { ...end, status: 'interrupted', event }
  const expected = rules.endOutcome(run, by, true)
  const linked = {
    ...next,
    continuationOf: run.id,
    continuationUsage: { ...noContinuationUsage, continuations: 1 },
  }
  const owned = await world.storage.runRepository.continueRun(by.owned, whole, { next: linked, signal: anySignal() })
  expect(owned === 'fenced' ? 'fenced' : 'stored').toBe(expected)
  count(`continue: ${expected}`)
  if (owned === 'fenced') return refused(run, by)
  rules.storeEnd(run, by, whole)
  run.continuedBy = next.runId
  const added = addRun(model, world, { run: next, session: run.session })
  run.session.active = added
  added.log.push(next.startedEvent)
  expect(owned).toMatchObject({ key: added.key, fence: 1 })
  rules.holdLease(model, added, { processId, isExpired: false })
  beginTurn(added, { processId, owned, nextSeq: 2 })
  return [run, added]
}

export const finishAgain: Step<{ run: number; holder: LeaseHolder }> = {
  input: fc.record({ run: nth, holder: holderOf }),
  isPossible: (model) => model.runs.some((run) => run.stored !== undefined),
  async run(model, world, { run: at, holder }) {
    const run = pick(
      model.runs.filter((one) => one.stored !== undefined),
      at,
    )
    if (run.stored === undefined) throw new Error('The run has not ended')
    const { by, end } = run.stored
    const outcome = await world.storage.runRepository.finishRun(by, end, { holder, signal: anySignal() })
    expect(outcome.type).toBe('stored')
    const next = rules.promotedBy(run.session, end.batchId, holder.processId)
    if (outcome.type === 'stored') expectPromoted(outcome.promoted, next)
    if (next !== undefined) rules.holdLease(model, next, { processId: holder.processId, isExpired: false })
    return [run]
  },
}

/** A run that waits ends without a message. */
export const cancelQueued: Step<{ run: number; isMeant: boolean }> = {
  // Seldom: a queue that is always emptied is never waited in.
  input: fc.record({ run: nth, isMeant: usually(false, fc.constant(true)) }),
  isPossible: (model, { isMeant }) => isMeant && model.runs.length > 0,
  async run(model, world, { run: at }) {
    const waiting = model.runs.filter((one) => one.status === 'queued')
    const run = pick(waiting.length > 0 ? waiting : model.runs, at)
    const cancelled = await world.storage.runRepository.cancelQueuedRun(owner, run.id)
    if (run.status !== 'queued') {
      expect(cancelled).toBeUndefined()
      return [run]
    }
    count('cancelQueued: cancelled')
    expect(cancelled).toMatchObject({ id: run.id, status: 'cancelled', lastSeq: 2 })
    rules.endQueued(run, cancelledEvent)
    run.session.queue = run.session.queue.filter((one) => one !== run)
    return [run]
  },
}

export const requestCancel: Step<{ run: Target }> = {
  input: fc.record({ run: target }),
  isPossible: (model) => model.runs.length > 0,
  async run(model, world, { run: at }) {
    const run = aim(model.runs, at)
    const answered = await world.storage.runRepository.requestCancel(owner, run.id)
    expect(answered).toMatchObject({ id: run.id, status: run.status })
    if (run.status === 'running') run.cancelRequested = true
    return [run]
  },
}
