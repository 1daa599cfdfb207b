/** What may happen to runs, in any order: each command calls the ports as a process does, right or late, and tells the model. */
import { isVerbatimError } from '@verbatim/core'
import type { RunEvent, TerminalStatus, WhenBusy } from '@verbatim/core'
import type { LogEntry, NewRun, OwnedRun, RunEnd } from '@verbatim/core/server'
import fc from 'fast-check'
import { expect } from 'vitest'
import type { Fault } from './faulty-client.ts'
import { expectSame } from './log-invariants.ts'
import * as rules from './log-model.ts'
import type { Model, ModelHolder, ModelRun, ModelSession } from './log-model.ts'
import { agentId, anySignal, longMs, metrics, owner, terminalEvent, textContent, textDelta } from './log-world.ts'
import type { World } from './log-world.ts'

export type Command = fc.AsyncCommand<Model, World>

/** What commands did, to be told at the end: a model that never gets anywhere finds nothing. */
export const tally = new Map<string, number>()

function count(what: string): void {
  tally.set(what, (tally.get(what) ?? 0) + 1)
}

interface Step<TInput> {
  readonly input: fc.Arbitrary<TInput>
  readonly isPossible: (model: Readonly<Model>, input: TInput) => boolean
  /** Answers the runs it was about. */
  readonly run: (model: Model, world: World, input: TInput) => Promise<ModelRun[]>
}

/** All commands; the calls of each run into `faults`. */
export function commandsWith(faults: fc.Arbitrary<Fault[]>): fc.Arbitrary<Command>[] {
  const command = <TInput>(name: string, { input, isPossible, run }: Step<TInput>): fc.Arbitrary<Command> =>
    fc.tuple(input, faults).map(([given, armed]) => ({
      check: (model) => isPossible(model, given),
      async run(model, world) {
        world.faults.arm(armed)
        const about = await run(model, world, given)
        for (const { when } of world.faults.struck()) count(`fault ${when}`)
        world.faults.arm([])
        count(name)
        await expectSame(world, model, about)
      },
      toString: () => `${name}(${fc.stringify(given)}${armed.length === 0 ? '' : `, faults ${fc.stringify(armed)}`})`,
    }))
  // Named twice: without them nothing gets far.
  const often = [
    command('start', start),
    command('append', append),
    command('lapse', lapse),
    command('takeOver', takeOver),
  ]
  const ends = [command('finish', finish), command('begin', begin), command('claimQueued', claimQueued)]
  return [
    ...often,
    ...often,
    ...ends,
    ...ends,
    command('startAgain', startAgain),
    command('renew', renew),
    command('finishAgain', finishAgain),
    command('requestCancel', requestCancel),
    command('cancelQueued', cancelQueued),
    command('archive', archive),
    command('archiveNext', archiveNext),
  ]
}

const nth = fc.nat({ max: 59 })
const processIds = fc.constantFrom('process-0', 'process-1', 'process-2')
const offerOf = fc.record({ processId: processIds, offerMs: fc.constantFrom(0, longMs) })

function usually<TUsual, TOther>(usual: TUsual, other: fc.Arbitrary<TOther>): fc.Arbitrary<TUsual | TOther> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
}

function pick<TItem>(items: readonly TItem[], at: number): TItem {
  const item = items[at % items.length]
  if (item === undefined) throw new Error('Nothing to pick from')
  return item
}

/** Which run a command is about: mostly one that is running, because most of what can go wrong does so there. */
interface Target {
  readonly at: number
  readonly isAny: boolean
}

const target: fc.Arbitrary<Target> = fc.record({ at: nth, isAny: usually(false, fc.constant(true)) })

function aim(runs: readonly ModelRun[], { at, isAny }: Target): ModelRun {
  const running = runs.filter((run) => run.status === 'running')
  return pick(isAny || running.length === 0 ? runs : running, at)
}

function newRun(world: World, session: ModelSession, how: Pick<NewRun, 'whenBusy' | 'offer'>): NewRun {
  const ids = { runId: crypto.randomUUID(), sessionId: session.id, agentId }
  const messages = { userMessageId: crypto.randomUUID(), messageId: crypto.randomUUID() }
  const at = new Date(0).toISOString()
  return {
    ...ids,
    ...messages,
    ...how,
    prompt: textContent(world.word()),
    inputHash: crypto.randomUUID(),
    leaseMs: longMs,
    startedEvent: { type: 'run_started', ...ids, ...messages, startedAt: at },
    queuedEvent: { type: 'run_queued', ...ids, queuedAt: at },
    maxQueuedRuns: rules.maxQueuedRuns,
  }
}

const prompts = new WeakMap<ModelRun, NewRun>()

function addRun(model: Model, world: World, { run, session }: { run: NewRun; session: ModelSession }): ModelRun {
  const { runId: id, inputHash, userMessageId, messageId } = run
  const added: ModelRun = {
    id,
    key: world.storage.eventLog.keyOf(owner, id),
    session,
    inputHash,
    userMessageId,
    messageId,
    status: 'queued',
    log: [],
    tried: [],
    fence: 1,
    lease: undefined,
    writer: undefined,
    takers: [],
    offers: [],
    cancelRequested: false,
    stored: undefined,
    begun: undefined,
    continuedBy: null,
    isArchived: false,
    isMarked: false,
  }
  model.runs.push(added)
  prompts.set(added, run)
  return added
}

function beginTurn(run: ModelRun, holder: ModelHolder): void {
  run.status = 'running'
  run.writer = holder
  const text =
    prompts
      .get(run)
      ?.prompt.map((block) => ('text' in block ? block.text : ''))
      .join('') ?? ''
  run.session.messages.push({ id: run.userMessageId, role: 'user', status: 'completed', runId: run.id, text })
}

/** The answer, or the code of the error: both are expected of a call. */
async function codeOf<TResult>(call: Promise<TResult>): Promise<TResult | string> {
  try {
    return await call
  } catch (error) {
    if (isVerbatimError(error)) return error.code
    throw error
  }
}

const start: Step<{ session: number; whenBusy: WhenBusy; offer: NewRun['offer'] }> = {
  input: fc.record({ session: fc.nat(1), whenBusy: fc.constantFrom('reject', 'queue', 'replace'), offer: offerOf }),
  isPossible: (model) => model.runs.length < 12,
  async run(model, world, { session: at, whenBusy, offer }) {
    const session = pick(model.sessions, at)
    const run = newRun(world, session, { whenBusy, offer })
    const expected = rules.admissionOf(session, whenBusy)
    count(`start: ${expected}`)
    const outcome = await codeOf(world.storage.runRepository.startRun(owner, run))
    if (expected === 'busy' || expected === 'full') {
      expect(outcome).toBe('SESSION_BUSY')
      return model.runs.filter((one) => one.session === session)
    }
    if (typeof outcome === 'string') throw new Error(`A start failed: ${outcome}`)
    expect(outcome.type).toBe(expected)
    const before = model.runs.filter((one) => one.session === session && !rules.isEnded(one))
    const added = addRun(model, world, { run, session })
    if (outcome.type === 'started') {
      session.active = added
      added.log.push(run.startedEvent)
      expect(outcome.owned.fence).toBe(1)
      rules.holdLease(model, added, { processId: offer.processId, isLapsed: false })
      beginTurn(added, { processId: offer.processId, owned: outcome.owned, nextSeq: 2 })
      return [added]
    }
    if (outcome.type !== 'queued') throw new Error('A new run was there before')
    added.log.push(run.queuedEvent)
    if (whenBusy === 'queue') session.queue.push(added)
    else replaceAll(model, { session, by: added, offer })
    // An answer that was lost is given again, without what the first one told of others.
    const isRepeated = world.faults.struck().length > 0
    if (!isRepeated || outcome.replaced.length > 0) {
      const keys = whenBusy === 'replace' ? before.map((one) => one.key) : []
      expect(outcome.replaced.toSorted()).toEqual(keys.toSorted())
    }
    if (!isRepeated) expect(outcome.next?.key).toBe(session.active === added ? added.key : undefined)
    added.offers.push({ key: added.key, owner, run: outcome.run, fence: 1, chain: noChain })
    return [...before, added]
  },
}

const noChain = { continuations: 0, outputTokens: 0, costUsd: 0 }

function replaceAll(
  model: Model,
  { session, by, offer }: { session: ModelSession; by: ModelRun; offer: NewRun['offer'] },
): void {
  const all = [...(session.active === undefined ? [] : [session.active]), ...session.queue]
  for (const run of all) {
    if (run.status === 'queued') rules.endQueued(run, cancelledEvent)
    else run.cancelRequested = true
  }
  const isRunning = session.active?.status === 'running'
  session.queue = isRunning ? [by] : []
  if (isRunning) return
  session.active = by
  rules.holdLease(model, by, { processId: offer.processId, isLapsed: offer.offerMs === 0 })
}

const cancelledEvent: RunEvent = { type: 'run_cancelled', messageId: null, metrics: { ...metrics, latencyMs: 0 } }

const startAgain: Step<{ run: number; isOther: boolean }> = {
  input: fc.record({ run: nth, isOther: fc.boolean() }),
  isPossible: (model) => model.runs.length > 0,
  async run(model, world, { run: at, isOther }) {
    const run = pick(model.runs, at)
    const first = prompts.get(run)
    if (first === undefined) throw new Error('A run without a start')
    const again = isOther ? { ...first, inputHash: crypto.randomUUID() } : first
    const outcome = await codeOf(world.storage.runRepository.startRun(owner, again))
    if (isOther) expect(outcome).toBe('RUN_ID_REUSED')
    else expect(outcome).toMatchObject({ type: 'existing', run: { id: run.id, status: run.status } })
    return [run]
  },
}

interface AppendInput {
  /** For each run: an earlier entry again, or so many new events. */
  readonly entries: readonly { run: Target; events: number; again: number | null }[]
}

/** One group commit: entries of several runs, of right and late writers, new and repeated. */
const append: Step<AppendInput> = {
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
    firstSeq: run.writer?.nextSeq ?? 0,
    batchId: crypto.randomUUID(),
    events: Array.from({ length: events }, () => textDelta(world.word())),
  }
}

function holdersOf(run: ModelRun): ModelHolder[] {
  return [...(run.writer === undefined ? [] : [run.writer]), ...run.takers]
}

function heldRuns(model: Readonly<Model>): ModelRun[] {
  return model.runs.filter((run) => holdersOf(run).length > 0)
}

/** A process gives its leases up; one that does not have the lease (any more) gives nothing up. */
const lapse: Step<{ run: Target; by: string | null }> = {
  input: fc.record({ run: target, by: usually(null, processIds) }),
  isPossible: (model) => heldRuns(model).length > 0,
  async run(model, world, { run: at, by }) {
    const run = aim(heldRuns(model), at)
    await release(world, run, by ?? run.lease?.processId ?? 'nobody')
    return [run]
  },
}

async function release({ storage }: World, run: ModelRun, processId: string): Promise<void> {
  const [holder] = holdersOf(run)
  if (holder === undefined) throw new Error('Nobody ever held the run')
  await storage.runRepository.releaseLeases([holder.owned], processId)
  if (run.status === 'running' && run.lease?.processId === processId) run.lease.isLapsed = true
}

const renew: Step<{ run: Target; by: number }> = {
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
    const isMine = run.status === 'running' && run.lease?.processId === processId && !run.lease.isLapsed
    const isRenewed = isMine && owned.fence === run.fence
    expect(renewed).toEqual(isRenewed ? [{ key: run.key, cancelRequested: run.cancelRequested }] : [])
    if (isMine) rules.holdLease(model, run, { processId, isLapsed: false })
    return [run]
  },
}

/** A claim is not repeated by the port either: what it took before its answer was lost lapses again, without a holder. */
async function claim(
  world: World,
  longestLapsed: ModelRun | undefined,
  call: () => Promise<OwnedRun | undefined>,
): Promise<{ run: ModelRun; owned: OwnedRun | undefined } | undefined> {
  const claimed = await codeOf(call())
  if (claimed === 'UNAVAILABLE') {
    // The last one: those before have struck what came before the claim, and that is repeated.
    const fault = world.faults.struck().at(-1)
    return fault?.when === 'after' && longestLapsed !== undefined ? { run: longestLapsed, owned: undefined } : undefined
  }
  if (typeof claimed === 'string') throw new Error(`A claim failed: ${claimed}`)
  expect(claimed?.key).toBe(longestLapsed?.key)
  return longestLapsed && { run: longestLapsed, owned: claimed }
}

interface TakeOverInput {
  readonly by: string
  readonly isShort: boolean
  /** Whose lease lapses first; null when somebody's must have, or when nobody's may. */
  readonly from: Target | null
  readonly isVain: boolean
}

const takeOver: Step<TakeOverInput> = {
  input: fc.record({
    by: processIds,
    isShort: fc.boolean(),
    from: fc.option(target, { freq: 2 }),
    isVain: usually(false, fc.constant(true)),
  }),
  isPossible: (model, { from, isVain }) =>
    isVain ||
    rules.lapsedRuns(model, 'running').length > 0 ||
    (from !== null && model.runs.some((run) => run.status === 'running')),
  async run(model, world, { by: processId, isShort, from }) {
    const held = from === null || model.runs.length === 0 ? undefined : aim(model.runs, from)
    if (held?.lease !== undefined && holdersOf(held).length > 0) await release(world, held, held.lease.processId)
    const leaseMs = isShort ? 0 : longMs
    const [lapsed] = rules.lapsedRuns(model, 'running')
    const claimed = await claim(world, lapsed, async () => {
      const taken = await world.storage.runRepository.claimLapsedRun({ processId, leaseMs })
      if (taken !== undefined) expect(taken.cancelRequested).toBe(lapsed?.cancelRequested)
      return taken
    })
    if (claimed === undefined) return []
    const { run, owned } = claimed
    run.fence++
    rules.holdLease(model, run, { processId, isLapsed: isShort })
    if (owned !== undefined) {
      expect(owned.fence).toBe(run.fence)
      count('takeOver: taken')
      run.takers.push({ processId, owned, nextSeq: run.log.length + 1 })
    }
    return [run]
  },
}

interface FinishInput {
  readonly run: Target
  readonly by: number
  /** By one who does not hold it any more, rather than by one who does. */
  readonly isLate: boolean
  readonly status: TerminalStatus
  readonly settles: boolean
  readonly continues: boolean
  readonly offer: NewRun['offer']
}

/** The end, by whoever held the run once: the writer, who takes it over, a zombie of either kind. */
const finish: Step<FinishInput> = {
  input: fc.record({
    run: target,
    by: nth,
    isLate: fc.boolean(),
    status: fc.constantFrom('completed', 'failed', 'cancelled', 'interrupted'),
    settles: fc.boolean(),
    continues: fc.boolean(),
    offer: offerOf,
  }),
  isPossible: (model) => heldRuns(model).length > 0,
  async run(model, world, { run: at, by: byAt, ...how }) {
    const run = aim(heldRuns(model), at)
    const preferred = holdersOf(run).filter(({ owned }) => (owned.fence === run.fence) !== how.isLate)
    const by = pick(preferred.length > 0 ? preferred : holdersOf(run), byAt)
    const isTaker = by !== run.writer
    const before = isTaker && how.settles ? [textDelta(world.word())] : []
    const common = { seq: by.nextSeq + before.length, batchId: crypto.randomUUID(), before, metrics, error: null }
    const known = [...run.log.slice(0, by.nextSeq - 1), ...before]
    const content = textContent(rules.textOfLog(known))
    if (isTaker && how.continues && model.runs.length < 12) {
      return await continueRun(model, world, { run, by, end: { ...common, content } })
    }
    const event = terminalEvent(how.status, run.messageId)
    const end: RunEnd = { ...common, content, status: how.status, event }
    return await finishRun(model, world, { run, by, end, offer: how.offer })
  },
}

type Ending<TEnd> = { readonly run: ModelRun; readonly by: ModelHolder; readonly end: TEnd }

async function finishRun(
  model: Model,
  world: World,
  { run, by, end, offer }: Ending<RunEnd> & { readonly offer: NewRun['offer'] },
): Promise<ModelRun[]> {
  const expected = rules.endOutcome(run, by, false)
  const outcome = await world.storage.runRepository.finishRun(by.owned, end, { offer, signal: anySignal() })
  expect(outcome.type).toBe(expected)
  countEnd(run, by, expected)
  if (outcome.type === 'fenced') return refused(run, by)
  rules.storeEnd(run, by, end)
  const next = rules.handOn(model, run.session, offer)
  expectNext(outcome.next, next)
  return next === undefined ? [run] : [run, next]
}

function countEnd(run: ModelRun, by: ModelHolder, outcome: string): void {
  count(`finish: by ${by === run.writer ? 'the writer' : 'a taker'}, ${outcome}`)
}

/** Who took the run over looks at the log again and tries behind what a zombie has written. */
function refused(run: ModelRun, by: ModelHolder): ModelRun[] {
  if (by !== run.writer && !rules.isEnded(run)) by.nextSeq = run.log.length + 1
  return [run]
}

function expectNext(offered: OwnedRun | undefined, next: ModelRun | undefined): void {
  expect(offered?.key).toBe(next?.key)
  if (offered === undefined || next === undefined) return
  expect(offered.fence).toBe(next.fence)
  next.offers.push(offered)
}

async function continueRun(
  model: Model,
  world: World,
  { run, by, end }: Ending<Omit<RunEnd, 'event' | 'status'>>,
): Promise<ModelRun[]> {
  const { processId } = by
  const next = newRun(world, run.session, { whenBusy: 'reject', offer: { processId, offerMs: 0 } })
  const event = terminalEvent('interrupted', run.messageId, next.runId)
  const whole: RunEnd = { ...end, status: 'interrupted', event }
  const expected = rules.endOutcome(run, by, true)
  const linked = { ...next, processId, continues: run.id, chain: { ...noChain, continuations: 1 } }
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
  rules.holdLease(model, added, { processId, isLapsed: false })
  beginTurn(added, { processId, owned, nextSeq: 2 })
  return [run, added]
}

const finishAgain: Step<{ run: number; offer: NewRun['offer'] }> = {
  input: fc.record({ run: nth, offer: offerOf }),
  isPossible: (model) => model.runs.some((run) => run.stored !== undefined),
  async run(model, world, { run: at, offer }) {
    const run = pick(
      model.runs.filter((one) => one.stored !== undefined),
      at,
    )
    if (run.stored === undefined) throw new Error('The run has not ended')
    const { by, end } = run.stored
    const outcome = await world.storage.runRepository.finishRun(by, end, { offer, signal: anySignal() })
    const next = rules.offeredTo(run.session, offer.processId)
    expect(outcome.type).toBe('stored')
    if (outcome.type === 'stored') expectNext(outcome.next, next)
    return [run]
  },
}

const requestCancel: Step<{ run: Target }> = {
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

function offeredRuns(model: Readonly<Model>): ModelRun[] {
  return model.runs.filter((run) => run.offers.length > 0)
}

/** A queued run begins, by one to whom it is or was offered. */
const begin: Step<{ run: number; offer: number; isLate: boolean }> = {
  input: fc.record({ run: nth, offer: nth, isLate: fc.boolean() }),
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

const claimQueued: Step<{ offer: NewRun['offer']; isVain: boolean }> = {
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

const cancelQueued: Step<{ run: number; offer: NewRun['offer']; isMeant: boolean }> = {
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

const archive: Step<{ run: number }> = {
  input: fc.record({ run: nth }),
  isPossible: (model) => model.runs.some(rules.isEnded),
  async run(model, world, { run: at }) {
    const run = pick(model.runs.filter(rules.isEnded), at)
    count(run.isArchived ? 'archive: again' : 'archive: first')
    await world.storage.eventLog.archive(run.key, { expiresAt: new Date('2100-01-01') })
    run.isArchived = true
    return [run]
  },
}

const archiveNext: Step<null> = {
  input: fc.constant(null),
  isPossible: (model) => model.runs.length > 0,
  async run(model, world) {
    const { runRepository, eventLog } = world.storage
    const key = await runRepository.findRunToArchive(0)
    const due = model.runs.filter((run) => rules.isEnded(run) && !run.isMarked)
    if (due.length === 0) {
      expect(key).toBeUndefined()
      return []
    }
    const run = due.find((one) => one.key === key)
    if (run === undefined) throw new Error('What is to be archived has not ended, or is archived')
    const expiresAt = new Date('2100-01-01')
    await eventLog.archive(run.key, { expiresAt })
    await runRepository.markArchived(run.key, { expiresAt })
    run.isArchived = true
    run.isMarked = true
    return [run]
  },
}
