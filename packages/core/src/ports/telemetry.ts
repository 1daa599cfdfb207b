/**
 * What the engine and its agents report of their work while it goes on. `openTelemetry()` of `@verbatim/core/opentelemetry` makes spans
 * and metrics of it. Without telemetry nothing is called, wrapped or stored.
 */
import type { AgentEvent, EventBatch } from '../contract/event.ts'
import type { RunId } from '../contract/identifiers.ts'
import type { TerminalStatus } from '../contract/run.ts'
import type { AgentPing } from './agent.ts'
import type { LogEntry, RunKey } from './event-log.ts'
import type { OwnedRun } from './run-repository.ts'

/** The headers that came with a call; they may name the caller's trace. */
export interface TraceCarrier {
  get(name: string): string | null
  keys(): Iterable<string>
}

export interface Telemetry {
  /** Runs `work` as a part of the trace that `carrier` names, unless a trace goes on already. */
  continueTrace<TResult>(carrier: TraceCarrier, work: () => TResult): TResult
  /** The trace of the call that goes on, as a W3C traceparent of 55 characters; undefined without one. A run is stored with it. */
  traceparent(): string | undefined
  /** A run that this process drives. `drive` never rejects; it works in the run's own trace, which nothing of the current call reaches. */
  run(run: ObservedRun, drive: (trace: RunTrace) => Promise<TerminalStatus | 'lost'>): Promise<TerminalStatus | 'lost'>
  /** The end of a run, with the beginning of a linked one if there is one: one transaction. Answers what `store` answers. */
  endRun<TOutcome>(owned: OwnedRun, status: TerminalStatus, store: () => Promise<TOutcome>): Promise<TOutcome>
  /** One commit of the log, of many runs. Answers what `write` answers. */
  commit<TOutcome>(entries: readonly LogEntry[], write: () => Promise<TOutcome>): Promise<TOutcome>
  /** One follower of a run. Yields what `follow` yields. */
  follow(
    followed: FollowedRun,
    follow: () => AsyncGenerator<EventBatch, void, void>,
  ): AsyncGenerator<EventBatch, void, void>
  /** A start or a retry that a limit, a budget, a busy session or a full process has refused. */
  startRefused(code: string, kind: string | undefined): void
}

export interface ObservedRun {
  readonly owned: OwnedRun
  /** How often the run was begun anew after a process was lost with it; 0 for one that was not. */
  readonly resumptions: number
  readonly wasQueued: boolean
}

export interface FollowedRun {
  readonly key: RunKey
  readonly runId: RunId
  /** False for a follower that comes back. */
  readonly isFromStart: boolean
}

/** One run, as its process drives it. */
export interface RunTrace {
  /** For the agent. */
  readonly agent: AgentTrace
  /** Events that are durable now, the terminal one included. */
  committed(batch: EventBatch): void
}

/**
 * Takes what an agent reports of itself. An agent that reports nothing is described by its events, and what it does belongs to the run;
 * one that does has exact times, and what a tool calls belongs to that call of the tool.
 */
export interface AgentTrace {
  /** One call of a model, retries included. Yields and returns what `stream` does; `stream` works in the trace of the call. */
  modelCall<TEvent extends AgentEvent | AgentPing, TEnd>(
    call: ModelCallFacts,
    stream: () => AsyncGenerator<TEvent, TEnd, void>,
  ): AsyncGenerator<TEvent, TEnd, void>
  /** One call of a tool. Answers what `run` answers; `run` works in the trace of the call. */
  toolCall<TOutput>(call: ToolCallFacts, run: () => Promise<TOutput>): Promise<TOutput>
}

/** What is known of a model call before it is made. */
export interface ModelCallFacts {
  /** As OpenTelemetry names it, such as "anthropic", "openai" or "aws.bedrock". */
  readonly provider: string
  readonly model: string
  readonly maxTokens?: number | undefined
  /** Of the run: what the call throws once it has aborted is no fault of the call. */
  readonly signal: AbortSignal
  /** What the model is asked. Called only where content is to be recorded. */
  content(): { readonly system?: string | undefined; readonly messages: readonly ModelMessage[] }
}

/** A message for a model; its blocks have the types of Anthropic's API. */
export interface ModelMessage {
  readonly role: string
  readonly content: string | readonly { readonly type: string }[]
}

export interface ToolCallFacts {
  readonly name: string
  readonly id: string
  readonly description?: string | undefined
  /** As in {@link ModelCallFacts}. */
  readonly signal: AbortSignal
  /** Recorded only where content is to be recorded. */
  readonly input: unknown
}
