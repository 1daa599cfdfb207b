/**
 * What the log, the runs and their sessions must be, in plain data: the rules of the ports, without a database.
 * Each method says what the real call must answer, and does to the model what the call does to the storage.
 */
import type { RunEvent, RunStatus, TerminalStatus, WhenBusy } from '@verbatim/core'
import type { AppendOutcome, LeaseHolder, LogEntry, OwnedRun, RunEnd, RunKey } from '@verbatim/core/server'

/** A process that held a run once, and what it believes. Only the first appends an answer; those that take over end the run, or resume it. */
export interface ModelHolder {
  readonly processId: string
  readonly owned: OwnedRun
  /** Where it believes the log goes on. */
  nextSeq: number
}

export interface ModelRun {
  readonly id: string
  readonly key: RunKey
  readonly session: ModelSession
  readonly inputHash: string
  readonly userMessageId: string
  readonly messageId: string
  status: RunStatus
  readonly log: RunEvent[]
  /** Every entry that was ever tried, with its fate: the same entry must meet it again. */
  readonly tried: { entry: LogEntry; outcome: AppendOutcome }[]
  fence: number
  lease: { processId: string; isExpired: boolean; renewedAt: number } | undefined
  writer: ModelHolder | undefined
  readonly takers: ModelHolder[]
  /** Batch id of the end that promoted it. */
  promotedBy: string | undefined
  cancelRequested: boolean
  stored: { by: OwnedRun; end: RunEnd } | undefined
  continuedBy: string | null
  isArchived: boolean
  isMarked: boolean
}

interface ModelMessage {
  readonly id: string
  readonly role: 'user' | 'assistant'
  readonly status: TerminalStatus
  readonly runId: string
  readonly text: string
}

export interface ModelSession {
  readonly id: string
  readonly messages: ModelMessage[]
  active: ModelRun | undefined
  queue: ModelRun[]
}

export interface Model {
  readonly sessions: readonly ModelSession[]
  readonly runs: ModelRun[]
  /** Stands in for the database's clock: only the order counts. */
  now: number
}

export const maxQueuedRuns = 2

/** Of one sequence, so that what each is compared with stays small. */
export const maxRuns = 14

export function emptyModel(): Model {
  const session = (): ModelSession => ({ id: crypto.randomUUID(), messages: [], active: undefined, queue: [] })
  return { sessions: [session(), session()], runs: [], now: 0 }
}

export function isEnded({ status }: ModelRun): boolean {
  return status !== 'queued' && status !== 'running'
}

/** What a start in `session` must come to. */
export function admissionOf(session: ModelSession, whenBusy: WhenBusy): 'started' | 'queued' | 'busy' | 'full' {
  if (session.active === undefined) return 'started'
  if (whenBusy === 'reject') return 'busy'
  return whenBusy === 'queue' && session.queue.length >= maxQueuedRuns ? 'full' : 'queued'
}

export function holdLease(model: Model, run: ModelRun, lease: { processId: string; isExpired: boolean }): void {
  run.lease = { ...lease, renewedAt: ++model.now }
}

/** The runs whose lease has expired, the oldest lease first. */
export function expiredRuns(model: Model): ModelRun[] {
  return model.runs
    .filter((run) => run.status === 'running' && run.lease?.isExpired === true)
    .toSorted((a, b) => (a.lease?.renewedAt ?? 0) - (b.lease?.renewedAt ?? 0))
}

/** Says who may append now: the log ends where the writer believes, and the next seq is free. */
export function appendOutcome(run: ModelRun, entry: LogEntry): AppendOutcome {
  const earlier = run.tried.find((one) => one.entry.batchId === entry.batchId)
  return earlier?.outcome ?? (entry.firstSeq === run.log.length + 1 ? 'stored' : 'fenced')
}

export function append(run: ModelRun, entry: LogEntry): void {
  const outcome = appendOutcome(run, entry)
  if (run.tried.some((one) => one.entry.batchId === entry.batchId)) return
  run.tried.push({ entry, outcome })
  if (outcome === 'stored') run.log.push(...entry.events)
}

/** The entry renews the lease of the process that holds it. */
export function resume(model: Model, run: ModelRun, event: RunEvent): void {
  run.log.push(event)
  if (run.lease !== undefined) run.lease.renewedAt = ++model.now
}

/** The end, or a resumption, is stored when its maker still has the fence and its seq is free. */
export function endOutcome(run: ModelRun, by: ModelHolder, isContinued: boolean): AppendOutcome {
  const isHolder = run.status === 'running' && by.owned.fence === run.fence
  if (!isHolder || (isContinued && run.cancelRequested)) return 'fenced'
  return by.nextSeq === run.log.length + 1 ? 'stored' : 'fenced'
}

/** The text that the log holds: what the message of an ended run must say. */
export function textOfLog(events: readonly RunEvent[]): string {
  return events
    .map((event) => (event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? event.delta.text : ''))
    .join('')
}

export function storeEnd(run: ModelRun, by: ModelHolder, end: RunEnd): void {
  run.log.push(...(end.before ?? []), end.event)
  run.status = end.status
  run.stored = { by: by.owned, end }
  const text = textOfLog(run.log)
  run.session.messages.push({ id: run.messageId, role: 'assistant', status: end.status, runId: run.id, text })
}

/** The session goes to the first that waits, which begins with the lease of `holder`; answers it. */
export function promote(
  model: Model,
  session: ModelSession,
  { holder, batchId }: { holder: LeaseHolder; batchId: string },
): ModelRun | undefined {
  const next = session.queue.shift()
  session.active = next
  if (next === undefined) return undefined
  next.fence++
  next.promotedBy = batchId
  holdLease(model, next, { processId: holder.processId, isExpired: holder.agentIds.length === 0 })
  return next
}

/** The run that a repeated end would name: the one it has promoted, while it is that process's to drive. */
export function promotedBy(session: ModelSession, batchId: string, processId: string): ModelRun | undefined {
  const next = session.active
  const isHeld = next?.fence === 2 && next.lease?.processId === processId && !next.lease.isExpired
  return isHeld && next.promotedBy === batchId ? next : undefined
}

/** A run that waited and was never asked: one event, and no message. */
export function endQueued(run: ModelRun, event: RunEvent): void {
  run.log.push(event)
  run.status = 'cancelled'
  run.cancelRequested = true
  run.lease = undefined
}
