/** The engine's work as OpenTelemetry sees it: one span for each run, model call, tool, end of a run and follower; commits as a metric. */
import { context, ROOT_CONTEXT, trace } from '@opentelemetry/api'
import type { Attributes, Link, SpanContext, Tracer } from '@opentelemetry/api'
import type { EventBatch } from '../contract/event.ts'
import type { Run, TerminalStatus } from '../contract/run.ts'
import { systemClock } from '../engine/system-clock.ts'
import type { LogEntry, RunKey } from '../ports/event-log.ts'
import type { OwnedRun } from '../ports/run-repository.ts'
import type { FollowedRun, ObservedRun, RunTrace, Telemetry } from '../ports/telemetry.ts'
import { errorTypeOf, kindOf, recordError } from './errors.ts'
import { createInstruments, scopeName } from './instruments.ts'
import type { Instruments } from './instruments.ts'
import { RunSpan } from './run-span.ts'
import { contextOf, continueTrace, currentTraceparent } from './trace-context.ts'

export interface OpenTelemetryOptions {
  /**
   * Records what was said in the spans of model calls and tools: the conversation, the system prompt, answers, inputs and outputs of
   * tools. All of it is then where your spans go, and stays there when a user is erased. @default false
   */
  readonly recordContent?: boolean
  /**
   * Makes a span for each commit of the log, with links to its runs. A process makes up to some hundred a second while answers stream;
   * the metric `verbatim.commit.duration` has them all. @default false
   */
  readonly commitSpans?: boolean
}

/**
 * Telemetry for an engine, by the tracer and the meter that are registered globally. Start your SDK first; without one nothing is
 * recorded, and nothing is stored.
 *
 * @example
 * const factory = await SessionManagerFactory.connect({ uri, agents, telemetry: openTelemetry() })
 */
export function openTelemetry({ recordContent = false, commitSpans = false }: OpenTelemetryOptions = {}): Telemetry {
  return new SpansAndMetrics({ recordContent, commitSpans })
}

class SpansAndMetrics implements Telemetry {
  readonly #options: Required<OpenTelemetryOptions>
  readonly #tracer: Tracer = trace.getTracer(scopeName)
  readonly #instruments: Instruments = createInstruments()
  /** The runs that this process drives, for links. */
  readonly #runs = new Map<RunKey, SpanContext>()
  readonly continueTrace = continueTrace
  readonly traceparent = currentTraceparent

  constructor(options: Required<OpenTelemetryOptions>) {
    this.#options = options
  }

  async run(
    observed: ObservedRun,
    drive: (trace: RunTrace) => Promise<TerminalStatus | 'lost'>,
  ): Promise<TerminalStatus | 'lost'> {
    const { run, key, traceparent } = observed.owned
    const parent = contextOf(traceparent)
    const shared = idsOf(run)
    const attributes = { ...shared, ...factsOf(observed) }
    const span = this.#tracer.startSpan(`invoke_agent ${run.agentId}`, { attributes }, parent)
    const runContext = trace.setSpan(parent, span)
    const parts = { tracer: this.#tracer, instruments: this.#instruments, recordContent: this.#options.recordContent }
    const runSpan = new RunSpan({ ...parts, runContext, shared, agentName: run.agentId })
    const startedMs = systemClock.monotonicMs()
    this.#runs.set(key, span.spanContext())
    this.#instruments.activeRuns.add(1)
    let status: TerminalStatus | 'lost' = 'lost'
    try {
      status = await context.with(runContext, () => drive(runSpan))
      return status
    } finally {
      this.#instruments.activeRuns.add(-1)
      this.#runs.delete(key)
      runSpan.end(span, status, (systemClock.monotonicMs() - startedMs) / 1_000)
      span.end()
    }
  }

  async endRun<TOutcome>(owned: OwnedRun, status: TerminalStatus, store: () => Promise<TOutcome>): Promise<TOutcome> {
    const attributes = { ...idsOf(owned.run), 'verbatim.run.status': status }
    const live = this.#runs.get(owned.key)
    const parent = live === undefined ? contextOf(owned.traceparent) : trace.setSpanContext(ROOT_CONTEXT, live)
    const span = this.#tracer.startSpan('verbatim.end_run', { attributes }, parent)
    try {
      return await context.with(trace.setSpan(parent, span), store)
    } catch (error) {
      recordError(span, errorTypeOf(error), kindOf(error))
      throw error
    } finally {
      span.end()
    }
  }

  async commit<TOutcome>(entries: readonly LogEntry[], write: () => Promise<TOutcome>): Promise<TOutcome> {
    const span = this.#options.commitSpans ? this.#startCommit(entries) : undefined
    // A commit belongs to no run: it is made in the context of the one that happened to wake the writer.
    const own = span === undefined ? ROOT_CONTEXT : trace.setSpan(ROOT_CONTEXT, span)
    const startedMs = systemClock.monotonicMs()
    const attributes: Attributes = {}
    try {
      return await context.with(own, write)
    } catch (error) {
      attributes['error.type'] = errorTypeOf(error)
      if (span !== undefined) recordError(span, errorTypeOf(error), kindOf(error))
      throw error
    } finally {
      this.#instruments.commit.record((systemClock.monotonicMs() - startedMs) / 1_000, attributes)
      span?.end()
    }
  }

  async *follow(
    followed: FollowedRun,
    follow: () => AsyncGenerator<EventBatch, void, void>,
  ): AsyncGenerator<EventBatch, void, void> {
    const attributes = { 'verbatim.run.id': followed.runId, 'verbatim.follow.from_start': followed.isFromStart }
    const span = this.#tracer.startSpan('verbatim.follow', { attributes, links: this.#linksTo([followed.key]) })
    this.#instruments.activeFollowers.add(1)
    let events = 0
    let isWhole = false
    try {
      for await (const batch of follow()) {
        events += batch.events.length
        yield batch
      }
      isWhole = true
    } catch (error) {
      const type = errorTypeOf(error)
      // A follower that leaves, and a server that stops, are no fault.
      recordError(span, type === 'AbortError' || type === 'UNAVAILABLE' ? 'cancelled' : type, kindOf(error))
      throw error
    } finally {
      this.#instruments.activeFollowers.add(-1)
      span.setAttributes({ 'verbatim.follow.events': events, 'verbatim.follow.whole': isWhole })
      span.end()
    }
  }

  startRefused(code: string, kind: string | undefined): void {
    const attributes = { 'error.type': code, ...(kind === undefined ? {} : { 'verbatim.error.kind': kind }) }
    this.#instruments.refusals.add(1, attributes)
  }

  #startCommit(entries: readonly LogEntry[]) {
    const events = entries.reduce((sum, entry) => sum + entry.events.length, 0)
    const attributes = { 'verbatim.commit.runs': entries.length, 'verbatim.commit.events': events }
    const links = this.#linksTo(entries.map(({ key }) => key))
    return this.#tracer.startSpan('verbatim.commit', { attributes, links, root: true }, ROOT_CONTEXT)
  }

  #linksTo(keys: readonly RunKey[]): Link[] {
    return keys.flatMap((key) => {
      const linked = this.#runs.get(key)
      return linked === undefined ? [] : [{ context: linked }]
    })
  }
}

/** On every span of a run. */
function idsOf({ id, sessionId }: Run): Attributes {
  return { 'gen_ai.conversation.id': sessionId, 'verbatim.run.id': id }
}

function factsOf({ owned: { run }, resumptions, wasQueued }: ObservedRun): Attributes {
  return {
    'gen_ai.operation.name': 'invoke_agent',
    'gen_ai.agent.name': run.agentId,
    'verbatim.run.queued': wasQueued,
    ...(resumptions === 0 ? {} : { 'verbatim.run.resumptions': resumptions }),
    ...(run.continuationOf === null ? {} : { 'verbatim.run.continuation_of': run.continuationOf }),
    ...(run.retryOf === null ? {} : { 'verbatim.run.retry_of': run.retryOf }),
  }
}
