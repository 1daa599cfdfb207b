/** Runs that wait: whose turn it is begins, is claimed when nobody begins it, or is cancelled. */
import type { NewRun } from '@verbatim/core/server'
import fc from 'fast-check'
import { expect } from 'vitest'
import { beginTurn, cancelledEvent, prompts } from './admission-commands.ts'
import { expectNext } from './ending-commands.ts'
import * as rules from './log-model.ts'
import type { Model, ModelRun } from './log-model.ts'
import { count, nth, offerOf, pick, usually } from './log-step.ts'
import type { Step } from './log-step.ts'
import { agentId, anySignal, longMs, owner } from './log-world.ts'
import { claim } from './writing-commands.ts'

function offeredRuns(model: Readonly<Model>): ModelRun[] {
  return model.runs.filter((run) => run.offers.length > 0)
}

/** A queued run begins, by one to whom it is or was offered. */
export const begin: Step<{ run: number; offer: number; isLate: boolean }> = {
  input: fc.record({ run: nth, offer: nth, isLate: usually(false, fc.constant(true)) }),
  isPossible: (model, { isLate }) => {
    const offered = offeredRuns(model)
    return isLate ? offered.length > 0 : offered.some((run) => run.status === 'queued')
  },
  async run(model, world, { run: at, offer: offerAt, isLate }) {
    const turns = offeredRuns(model).filter((run) => run.status === 'queued' && run.session.active === run)
    const run = pick(turns.length > 0 ? turns : offeredRuns(model), at)
    const preferred = run.offers.filter(({ fence }) => (fence === run.fence) !== isLate)
    const queued = pick(preferred.length > 0 ? preferred : run.offers, offerAt)
    const first = prompts.get(run)
    if (first === undefined) throw new Error('A run without a start')
    const turn = { event: first.startedEvent, batchId: crypto.randomUUID(), leaseMs: longMs }
    const begun = await world.storage.runRepository.beginRun(queued, turn, { signal: anySignal() })
    const isMine = run.status === 'queued' && run.session.active === run && queued.fence === run.fence
    count(`begin: ${isMine ? 'begun' : 'refused'}`)
    expect(begun?.key).toBe(isMine ? run.key : undefined)
    if (begun === undefined) return [run]
    expect(begun.fence).toBe(run.fence)
    const processId = run.lease?.processId ?? 'nobody'
    rules.holdLease(model, run, { processId, isLapsed: false })
    run.log.push(first.startedEvent)
    beginTurn(run, { processId, owned: begun, nextSeq: 3 })
    return [run]
  },
}

export const claimQueued: Step<{ offer: NewRun['offer']; isVain: boolean }> = {
  input: fc.record({ offer: offerOf, isVain: usually(false, fc.constant(true)) }),
  isPossible: (model, { isVain }) => isVain || rules.lapsedRuns(model, 'queued').length > 0,
  async run(model, world, { offer }) {
    const [lapsed] = rules.lapsedRuns(model, 'queued')
    const agents = { agentIds: [agentId], orphanMs: longMs }
    const claimed = await claim(
      world,
      lapsed,
      async () => await world.storage.runRepository.claimQueuedRun(offer, agents),
    )
    if (claimed === undefined) return []
    rules.offerTo(model, claimed.run, offer)
    if (claimed.owned !== undefined) count('claimQueued: taken')
    expectNext(claimed.owned, claimed.owned && claimed.run)
    return [claimed.run]
  },
}

export const cancelQueued: Step<{ run: number; offer: NewRun['offer']; isMeant: boolean }> = {
  // Seldom: a queue that is always emptied is never waited in.
  input: fc.record({ run: nth, offer: offerOf, isMeant: usually(false, fc.constant(true)) }),
  isPossible: (model, { isMeant }) => isMeant && model.runs.length > 0,
  async run(model, world, { run: at, offer }) {
    const waiting = model.runs.filter((one) => one.status === 'queued')
    const run = pick(waiting.length > 0 ? waiting : model.runs, at)
    const { session } = run
    const cancelled = await world.storage.runRepository.cancelQueuedRun(owner, run.id, offer)
    if (run.status !== 'queued') {
      expect(cancelled).toBeUndefined()
      return [run]
    }
    count('cancelQueued: cancelled')
    expect(cancelled?.run).toMatchObject({ id: run.id, status: 'cancelled', lastSeq: 2 })
    rules.endQueued(run, cancelledEvent)
    const isTurn = session.active === run
    session.queue = session.queue.filter((one) => one !== run)
    const next = isTurn ? rules.handOn(model, session, offer) : undefined
    // An answer that was lost is given again with whatever is offered to this process: to begin that is safe.
    const mayRepeat = world.faults.struck().length > 0 && next === undefined
    expectNext(cancelled?.next, mayRepeat && cancelled?.next ? rules.offeredTo(session, offer.processId) : next)
    return next === undefined ? [run] : [run, next]
  },
}
