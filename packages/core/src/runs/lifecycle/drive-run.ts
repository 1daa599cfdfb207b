/**
 * Drives one run from its first event to its last: pulls the agent, hands its events to the writer, ends the run.
 * In: a started run. Out: exactly one terminal event and one assistant message (P3, P4), unless another process took over.
 */
import { raceSignal } from '../../async/race-signal.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import { createAttachmentReader } from '../../attachments/attachment-reader.ts'
import { errorOf, isVerbatimError, reasonOf } from '../../contract/errors.ts'
import type { WireError } from '../../contract/errors.ts'
import { blockOf } from '../../contract/event.ts'
import type { AgentEvent, EventBatch, RunEvent, TerminalEvent } from '../../contract/event.ts'
import type { MessageId } from '../../contract/identifiers.ts'
import type { RunMetrics } from '../../contract/metrics.ts'
import { emptyAnswer, reduceEvents } from '../../contract/reduce-events.ts'
import type { Answer } from '../../contract/reduce-events.ts'
import type { TerminalStatus } from '../../contract/run.ts'
import { BudgetMeter, noMeter } from '../../limits/call-meter.ts'
import type { CallMeter } from '../../limits/call-meter.ts'
import type { Agent } from '../../ports/agent.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'
import type { AgentTrace } from '../../ports/telemetry.ts'
import { releaseTimeoutMs } from '../engine-context.ts'
import type { EngineContext } from '../engine-context.ts'
import type { RunAppender } from '../log/append-events.ts'
import { awaitAgent } from './await-agent.ts'
import { createEventCheck } from './check-agent-event.ts'
import { createDataCheck } from './check-data-event.ts'
import { checkOutput } from './check-output.ts'
import { createEmit } from './emit-data.ts'
import { cancelReason } from './live-runs.ts'
import { loadHistory } from './load-history.ts'
import { createMetricsCollector } from './run-metrics.ts'
import type { MetricsCollector } from './run-metrics.ts'
import { storeEnd } from './store-end.ts'

export interface DrivenRun {
  readonly owned: OwnedRun
  readonly agent: Agent
  /** The events that are stored already, from seq 1 to the one that began the run. */
  readonly events: readonly RunEvent[]
  /** Aborted with {@link cancelReason} to cancel the run, with anything else to release it. */
  readonly signal: AbortSignal
  /** Called with each batch once it is committed, the terminal one included. */
  readonly onCommitted: (batch: EventBatch, bytes: number) => void
  /** For the agent; absent without telemetry. */
  readonly trace?: AgentTrace | undefined
}

/** How driving ended: with this status, or without one because the run is another process's now (or will be). */
export type DriveOutcome = TerminalStatus | 'lost'

/** Resolves when the run has ended, never rejects. */
export async function driveRun(context: EngineContext, driven: DrivenRun): Promise<DriveOutcome> {
  const lost = new AbortController()
  const record = startRecord(driven.events)
  const { clock } = context.ports
  const appender = context.writer.open(driven.owned, driven.events.length, {
    onCommitted(batch, bytes) {
      record.answer = reduceEvents(record.answer, batch)
      driven.onCommitted(batch, bytes)
    },
    onLost: (error) => lost.abort(error),
  })
  const startedMs = clock.monotonicMs()
  const elapsedMs = () => clock.monotonicMs() - startedMs
  const signal = AbortSignal.any([driven.signal, lost.signal])
  const meter = openMeter(context, driven)
  const ending = await pullAgent(context, driven, { appender, record, elapsedMs, meter, signal }).then(
    (output): Ending => ({ status: 'completed', error: null, output }),
    toEnding(context, driven),
  )
  await meter.close()
  if (lost.signal.aborted) return reportLost(context, driven, lost.signal.reason)
  if (ending === undefined) return await storeAndRelease(context, driven, appender)
  return await endRun(context, driven, { appender, record, elapsedMs, ending })
}

/** The ledger is tried for as long as the log; a process that leaves waits for neither. */
function openMeter({ admission, ports, options, leaving }: EngineContext, { owned }: DrivenRun): CallMeter {
  const { budgets } = admission
  const deadline = () => AbortSignal.any([leaving, AbortSignal.timeout(options.selfFenceMs)])
  return budgets === undefined
    ? noMeter
    : new BudgetMeter({ budgets, owner: owned.owner, logger: ports.logger, deadline })
}

interface Record {
  answer: Answer
  readonly metrics: MetricsCollector
}

function startRecord(events: readonly RunEvent[]): Record {
  return {
    answer: reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] }),
    metrics: createMetricsCollector(),
  }
}

interface Drive {
  readonly appender: RunAppender
  readonly record: Record
  readonly elapsedMs: () => number
}

async function pullAgent(
  context: EngineContext,
  { owned, agent, trace }: DrivenRun,
  drive: Drive & { meter: CallMeter; signal: AbortSignal },
): Promise<JsonValue | undefined> {
  const { options } = context
  const { appender, record, elapsedMs, meter, signal } = drive
  signal.throwIfAborted()
  await meter.begin(signal)
  const history = await loadHistory(context, owned, { agent, signal })
  const { id: runId, sessionId } = owned.run
  const { tenantId, ownerId: userId } = owned.owner
  const attachments = createAttachmentReader(context.ports.attachmentRepository, owned.owner)
  const request = {
    runId,
    sessionId,
    principal: { userId, tenantId },
    attachments,
    ...history,
    ...(trace && { trace }),
  }
  const timeouts = { ...options, ...agent.timeouts }
  const checkData = createDataCheck(options, agent.data)
  const open = (agentSignal: AbortSignal, isAlive: () => void) => {
    const emit = createEmit({ check: checkData, appender, signal: agentSignal, isAlive })
    return agent.stream({ ...request, emit }, agentSignal)
  }
  let asksForTools = false
  const check = createEventCheck(options, checkData)
  const onEvent = async (event: AgentEvent) => {
    const valid = check(event)
    record.metrics.add(valid, elapsedMs())
    await appender.append(valid, signal)
    asksForTools ||= blockOf(valid)?.type === 'tool_use'
    // Tools run next. Should this process be lost with them, the log must know of the calls: they are never made again.
    if (asksForTools && valid.type === 'message_stop') await raceSignal(appender.flush(), signal)
    asksForTools &&= valid.type !== 'message_stop'
    await meter.after(valid, signal)
  }
  await awaitAgent({ open, timeouts, signal, onEvent })
  return agent.output && (await readOutput(agent.output, { ...drive, maxAnswerBytes: options.maxAnswerBytes }))
}

/** Undefined for a refusal, which is no output. */
async function readOutput(
  schema: NonNullable<Agent['output']>,
  { appender, record, maxAnswerBytes, signal }: Drive & { maxAnswerBytes: number; signal: AbortSignal },
): Promise<JsonValue | undefined> {
  const { stopReason } = record.metrics.total(0)
  if (stopReason === 'refusal') return undefined
  await raceSignal(appender.flush(), signal)
  return await checkOutput(schema, { answer: record.answer, stopReason, maxAnswerBytes, signal })
}

interface Ending {
  readonly status: TerminalStatus
  readonly error: WireError | null
  /** Of an agent with an output schema. */
  readonly output?: JsonValue | undefined
}

/** Why the agent stopped, as the run's end; undefined when the run is released without one. */
function toEnding(
  { ports: { logger } }: EngineContext,
  { owned, signal }: DrivenRun,
): (error: unknown) => Ending | undefined {
  return (error) => {
    if (signal.aborted) return signal.reason === cancelReason ? { status: 'cancelled', error: null } : undefined
    if (isVerbatimError(error)) return { status: 'failed', error: error.toWire() }
    const correlationId = crypto.randomUUID()
    logger.error(
      { correlationId, runId: owned.run.id, agentId: owned.run.agentId, error: reasonOf(error) },
      'An agent failed',
    )
    return { status: 'failed', error: errorOf('INTERNAL', { data: { correlationId } }).toWire() }
  }
}

async function endRun(
  context: EngineContext,
  driven: DrivenRun,
  drive: Drive & { ending: Ending },
): Promise<DriveOutcome> {
  const { appender, record, elapsedMs, ending } = drive
  const { options, executor, leaving } = context
  try {
    await raceSignal(appender.flush(), leaving)
    const metrics = record.metrics.total(elapsedMs())
    const { error, output } = ending
    const before: RunEvent[] = output === undefined ? [] : [{ type: 'output', output }]
    const status = ending.status === 'completed' && metrics.stopReason === 'refusal' ? 'refused' : ending.status
    const event = terminalEvent({ status, error }, { messageId: driven.owned.run.messageId, metrics })
    const end = {
      status,
      error,
      seq: appender.nextSeq + before.length,
      batchId: crypto.randomUUID(),
      before,
      event,
      content: record.answer.content,
      data: record.answer.data,
      ...(output === undefined ? {} : { output }),
      metrics,
    }
    const signal = AbortSignal.any([leaving, AbortSignal.timeout(options.selfFenceMs)])
    const storing = storeEnd(context, { owned: driven.owned, end }, signal)
    // Raced: whether or not it is stored in the end, it is not waited for. Followers hear of it from the log.
    const { end: stored, outcome } = await raceSignal(storing, leaving)
    if (outcome.type === 'fenced') return reportLost(context, driven, errorOf('RUN_FENCED'))
    const events = [...(stored.before ?? []), stored.event]
    driven.onCommitted({ firstSeq: stored.seq - events.length + 1, events }, JSON.stringify(events).length)
    executor.drivePromoted(outcome.promoted)
    return stored.status
  } catch (error) {
    return reportLost(context, driven, error)
  }
}

/** Another process goes on from what is stored, so everything that was made is stored first. */
async function storeAndRelease(
  context: EngineContext,
  driven: DrivenRun,
  appender: RunAppender,
): Promise<DriveOutcome> {
  try {
    await raceSignal(appender.flush(), AbortSignal.timeout(releaseTimeoutMs))
    return 'lost'
  } catch (error) {
    return reportLost(context, driven, error)
  }
}

/** The run stays `running` in storage; the process that finds its lease expired ends it. */
function reportLost({ ports }: EngineContext, { owned, signal }: DrivenRun, error: unknown): 'lost' {
  if (!signal.aborted) ports.logger.warn({ runId: owned.run.id, reason: reasonOf(error) }, 'A run was lost to recovery')
  return 'lost'
}

export function terminalEvent(
  { status, error }: Ending,
  end: { readonly messageId: MessageId; readonly metrics: RunMetrics },
): TerminalEvent {
  switch (status) {
    case 'completed':
      return { type: 'run_completed', ...end }
    case 'refused':
      return { type: 'run_refused', ...end }
    case 'cancelled':
      return { type: 'run_cancelled', ...end }
    case 'failed':
      return { type: 'run_failed', ...end, error: error ?? errorOf('INTERNAL').toWire() }
    case 'interrupted':
      return { type: 'run_interrupted', ...end, error: error ?? errorOf('INTERNAL').toWire() }
  }
}
