/** Writers append, right and late; their leases are renewed, given up, and taken over. */
import type { RunEvent } from '@verbatim/core'
import type { LogEntry, OwnedRun } from '@verbatim/core/server'
import fc from 'fast-check'
import { expect } from 'vitest'
import * as rules from './log-model.ts'
import type { ModelRun } from './log-model.ts'
import { aim, codeOf, count, heldRuns, holdersOf, nth, pick, processIds, target, usually } from './log-step.ts'
import type { Step, Target } from './log-step.ts'
import { agentId, anySignal, longMs, owner, textDelta } from './log-world.ts'
import type { World } from './log-world.ts'

interface AppendInput {
  /** For each run: an earlier entry again, or so many new events. */
  readonly entries: readonly { run: Target; events: number; again: number | null }[]
}

/** One group commit: entries of several runs, of right and late writers, new and repeated. */
export const append: Step<AppendInput> = {
  input: fc.record({
    entries: fc.array(fc.record({ run: target, events: fc.integer({ min: 1, max: 3 }), again: usually(null, nth) }), {
      minLength: 1,
      maxLength: 3,
    }),
  }),
  isPossible: (model) => model.runs.some((run) => run.writer !== undefined),
  async run(model, world, { entries: asked }) {
    const writable = model.runs.filter((run) => run.writer !== undefined)
    const entries = new Map<ModelRun, LogEntry>()
    for (const { run: at, events, again } of asked) {
      const run = aim(writable, at)
      const tried = run.tried.length > 0 && again !== null ? pick(run.tried, again).entry : undefined
      entries.set(run, tried ?? newEntry(world, run, events))
    }
    const outcomes = await world.storage.eventLog.append([...entries.values()], { signal: anySignal() })
    expect(outcomes).toEqual([...entries].map(([run, entry]) => rules.appendOutcome(run, entry)))
    for (const [run, entry] of entries) {
      const isNew = !run.tried.some((one) => one.entry === entry)
      const outcome = rules.appendOutcome(run, entry)
      const isLate = run.writer?.owned.fence !== run.fence || rules.isEnded(run)
      count(`append: ${isNew ? '' : 'again, '}${isLate ? 'by a zombie, ' : ''}${outcome}`)
      rules.append(run, entry)
      if (isNew && outcome === 'stored' && run.writer !== undefined) run.writer.nextSeq += entry.events.length
    }
    return [...entries.keys()]
  },
}

function newEntry(world: World, run: ModelRun, events: number): LogEntry {
  return {
    key: run.key,
    owner,
    firstSeq: run.writer?.nextSeq ?? 0,
    batchId: crypto.randomUUID(),
    events: Array.from({ length: events }, () => textDelta(world.word())),
  }
}

/** A process gives its leases up; one that does not have the lease (any more) gives nothing up. */
export const expire: Step<{ run: Target; by: string | null }> = {
  input: fc.record({ run: target, by: usually(null, processIds) }),
  isPossible: (model) => heldRuns(model).length > 0,
  async run(model, world, { run: at, by }) {
    const run = aim(heldRuns(model), at)
    await release(world, run, by ?? run.lease?.processId ?? 'none')
    return [run]
  },
}

async function release({ storage }: World, run: ModelRun, processId: string): Promise<void> {
  const [holder] = holdersOf(run)
  if (holder === undefined) throw new Error('No process ever held the run')
  await storage.runRepository.releaseLeases([holder.owned], processId)
  if (run.status === 'running' && run.lease?.processId === processId) run.lease.isExpired = true
}

export const renew: Step<{ run: Target; by: number }> = {
  input: fc.record({ run: target, by: nth }),
  isPossible: (model) => heldRuns(model).length > 0,
  async run(model, world, { run: at, by }) {
    const run = aim(heldRuns(model), at)
    const { owned, processId } = pick(holdersOf(run), by)
    const call = async () => await world.storage.runRepository.renewLeases([owned], { processId, leaseMs: longMs })
    // A heartbeat that fails is not repeated by the port: the next one is.
    let renewed = await codeOf(call())
    while (renewed === 'UNAVAILABLE') renewed = await codeOf(call())
    // One that was handed on (a lease of 0 ms) is not taken back.
    const isMine = run.status === 'running' && run.lease?.processId === processId && !run.lease.isExpired
    const isRenewed = isMine && owned.fence === run.fence
    expect(renewed).toEqual(isRenewed ? [{ key: run.key, cancelRequested: run.cancelRequested }] : [])
    if (isMine) rules.holdLease(model, run, { processId, isExpired: false })
    return [run]
  },
}

/** The port does not repeat a claim either: what it took before its answer was lost expires again, without a holder. */
async function claim(
  world: World,
  longestExpired: ModelRun | undefined,
  call: () => Promise<OwnedRun | undefined>,
): Promise<{ run: ModelRun; owned: OwnedRun | undefined } | undefined> {
  const claimed = await codeOf(call())
  if (claimed === 'UNAVAILABLE') {
    // The last one: those before have struck what came before the claim, and that is repeated.
    const fault = world.faults.struck().at(-1)
    return fault?.when === 'after' && longestExpired !== undefined
      ? { run: longestExpired, owned: undefined }
      : undefined
  }
  if (typeof claimed === 'string') throw new Error(`A claim failed: ${claimed}`)
  expect(claimed?.key).toBe(longestExpired?.key)
  return longestExpired && { run: longestExpired, owned: claimed }
}

interface TakeOverInput {
  readonly by: string
  readonly isShort: boolean
  /** The process whose lease expires first; null when some lease must have expired, or when none may. */
  readonly from: Target | null
  readonly isVain: boolean
}

export const takeOver: Step<TakeOverInput> = {
  input: fc.record({
    by: processIds,
    isShort: fc.boolean(),
    from: fc.option(target, { freq: 2 }),
    isVain: usually(false, fc.constant(true)),
  }),
  isPossible: (model, { from, isVain }) =>
    isVain ||
    rules.expiredRuns(model).length > 0 ||
    (from !== null && model.runs.some((run) => run.status === 'running')),
  async run(model, world, { by: processId, isShort, from }) {
    const held = from === null || model.runs.length === 0 ? undefined : aim(model.runs, from)
    if (held?.lease !== undefined && holdersOf(held).length > 0) await release(world, held, held.lease.processId)
    const leaseMs = isShort ? 0 : longMs
    const [expired] = rules.expiredRuns(model)
    const claimed = await claim(world, expired, async () => {
      const taken = await world.storage.runRepository.claimExpiredLease({ processId, leaseMs, agentIds: [agentId] })
      if (taken !== undefined) expect(taken.cancelRequested).toBe(expired?.cancelRequested)
      return taken
    })
    if (claimed === undefined) return []
    const { run, owned } = claimed
    run.fence++
    rules.holdLease(model, run, { processId, isExpired: isShort })
    if (owned !== undefined) {
      expect(owned.fence).toBe(run.fence)
      count('takeOver: taken')
      run.takers.push({ processId, owned, nextSeq: run.log.length + 1 })
    }
    return [run]
  },
}

/** The process that took a run over goes on with it, when nothing of the answer is stored: the entry shuts out the one before. */
export const resume: Step<{ run: number }> = {
  input: fc.record({ run: nth }),
  isPossible: (model) => model.runs.some((run) => run.takers.length > 0),
  async run(model, world, { run: at }) {
    const taken = model.runs.filter((one) => one.takers.length > 0)
    const open = taken.filter((one) => one.status === 'running')
    const run = pick(open.length > 0 ? open : taken, at)
    const by = pick(run.takers.slice(-1), 0)
    const event: RunEvent = { type: 'run_resumed', attempt: run.takers.length, resumedAt: new Date(0).toISOString() }
    const resumption = { seq: by.nextSeq, batchId: crypto.randomUUID(), event }
    const resume = () => world.storage.runRepository.resumeRun(by.owned, { ...resumption, signal: anySignal() })
    const expected = rules.endOutcome(run, by, false)
    expect(await resume()).toBe(expected)
    count(`resume: ${expected}`)
    if (expected === 'stored') rules.resume(model, run, event)
    expect(await resume()).toBe(expected)
    by.nextSeq = rules.isEnded(run) ? by.nextSeq : run.log.length + 1
    return [run]
  },
}
