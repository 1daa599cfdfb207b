/** Prompts come: each is admitted, waits, replaces others or is refused, and the same one again is the same run. */
import { textOf } from '@verbatim/core'
import type { RunEvent, WhenBusy } from '@verbatim/core'
import type { NewRun } from '@verbatim/core/server'
import fc from 'fast-check'
import { expect } from 'vitest'
import * as rules from './log-model.ts'
import type { Model, ModelHolder, ModelRun, ModelSession } from './log-model.ts'
import { codeOf, count, nth, pick, processIds } from './log-step.ts'
import type { Step } from './log-step.ts'
import { agentId, longMs, metrics, owner, textContent } from './log-world.ts'
import type { World } from './log-world.ts'

export function newRun(world: World, session: ModelSession, how: Pick<NewRun, 'whenBusy' | 'processId'>): NewRun {
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

export function startedEventOf(run: ModelRun): NewRun['startedEvent'] {
  const first = prompts.get(run)
  if (first === undefined) throw new Error('A run without a start')
  return first.startedEvent
}

export function addRun(model: Model, world: World, { run, session }: { run: NewRun; session: ModelSession }): ModelRun {
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
    promotedBy: undefined,
    cancelRequested: false,
    stored: undefined,
    continuedBy: null,
    isArchived: false,
    isMarked: false,
  }
  model.runs.push(added)
  prompts.set(added, run)
  return added
}

/** @param holder undefined when the process that was to drive the run never learned of it */
export function beginTurn(run: ModelRun, holder: ModelHolder | undefined): void {
  run.status = 'running'
  run.writer = holder
  const text = textOf(prompts.get(run)?.prompt ?? [])
  run.session.messages.push({ id: run.userMessageId, role: 'user', status: 'completed', runId: run.id, text })
}

export const start: Step<{ session: number; whenBusy: WhenBusy; processId: string }> = {
  input: fc.record({
    session: fc.nat(1),
    // Mostly one that waits: a queue is full only when three have come one after another, and one that replaces empties it.
    whenBusy: fc.constantFrom('reject', 'queue', 'queue', 'queue', 'replace'),
    processId: processIds,
  }),
  isPossible: (model) => model.runs.length < rules.maxRuns,
  async run(model, world, { session: at, whenBusy, processId }) {
    const session = pick(model.sessions, at)
    const run = newRun(world, session, { whenBusy, processId })
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
      rules.holdLease(model, added, { processId, isExpired: false })
      beginTurn(added, { processId, owned: outcome.owned, nextSeq: 2 })
      return [added]
    }
    if (outcome.type !== 'queued') throw new Error('A new run was there before')
    added.log.push(run.queuedEvent)
    if (whenBusy === 'queue') session.queue.push(added)
    else replaceAll(session, added)
    // A lost answer is given again, without what the first one said of other runs.
    const isRepeated = world.faults.struck().length > 0
    if (!isRepeated || outcome.replaced.length > 0) {
      const keys = whenBusy === 'replace' ? before.map((one) => one.key) : []
      expect(outcome.replaced.toSorted()).toEqual(keys.toSorted())
    }
    return [...before, added]
  },
}

export const noContinuationUsage = { continuations: 0, outputTokens: 0, costUsd: 0 }

function replaceAll(session: ModelSession, by: ModelRun): void {
  for (const run of session.queue) rules.endQueued(run, cancelledEvent)
  if (session.active !== undefined) session.active.cancelRequested = true
  session.queue = [by]
}

export const cancelledEvent: RunEvent = {
  type: 'run_cancelled',
  messageId: null,
  metrics: { ...metrics, latencyMs: 0 },
}

export const startAgain: Step<{ run: number; isOther: boolean }> = {
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
