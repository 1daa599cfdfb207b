/**
 * Group commit: one write at a time for all runs of the process, with every event that arrived during the write before.
 * In: events of many runs. Out: batches, once they are majority-committed (P1), in order (P2). An idle writer writes at
 * once; the more runs there are, the longer it waits between two writes. Memory is bounded: at the bound `append` makes the agent wait.
 */
import { setImmediate } from 'node:timers/promises'
import { raceSignal } from '../../async/race-signal.ts'
import { sleep } from '../../async/sleep.ts'
import { childController } from '../../contract/child-controller.ts'
import { errorOf, VerbatimError } from '../../contract/errors.ts'
import type { EventBatch, RunEvent } from '../../contract/event.ts'
import type { Clock } from '../../ports/clock.ts'
import type { EventLog, LogEntry } from '../../ports/event-log.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'

export interface WriterOptions {
  readonly eventLog: Pick<EventLog, 'append'>
  /** Bytes of one run that may wait before the engine stops pulling its agent. */
  readonly maxPendingBytes: number
  /** How long the log may stay unwritable before its runs give up, in milliseconds. */
  readonly selfFenceMs: number
  readonly clock: Clock
  /** How many runs the process drives now. */
  readonly liveRuns: () => number
  /** Called after each commit, with its time and how many runs had events in it. */
  readonly onCommit: (commit: { readonly tookMs: number; readonly runs: number }) => void
}

/** What the writer reports to a run. */
export interface AppenderEvents {
  onCommitted(batch: EventBatch, bytes: number): void
  /** The run cannot be written any more: fenced (`RUN_FENCED`), or the log is away (`UNAVAILABLE`). */
  onLost(error: unknown): void
}

export interface WriterStats {
  eventsCommitted: number
  commits: number
  pendingBytes: number
}

/** One commit's events hold at most this many bytes, so that no document nears the 16 MB limit. */
const maxEntryBytes = 2 * 1024 * 1024

/** Runs whose batches are published in one turn of the event loop. */
const settledAtOnce = 64

/**
 * From the beginning of one commit to that of the next, in milliseconds: for each run of the process, and at most. A commit costs this
 * process as much as four or five tokens do. A few runs never wait.
 */
const paceMs = { perRun: 0.2, max: 10 }

/** Why a commit is given up. Shared: an error for each commit would cost more than the timer. */
const unwritable = new DOMException('The log could not be written in time', 'TimeoutError')

export class EventWriter {
  readonly #options: WriterOptions
  readonly #waiting = new Set<RunAppender>()
  readonly #closing = new AbortController()
  readonly stats: WriterStats = { eventsCommitted: 0, commits: 0, pendingBytes: 0 }
  #isScheduled = false

  constructor(options: WriterOptions) {
    this.#options = options
  }

  /** The appender of a run whose log ends at `lastSeq`. */
  open(run: AppendedRun, lastSeq: number, events: AppenderEvents): RunAppender {
    const schedule = (appender: RunAppender) => this.#schedule(appender)
    return new RunAppender({
      run,
      lastSeq,
      events,
      schedule,
      stats: this.stats,
      maxPendingBytes: this.#options.maxPendingBytes,
    })
  }

  /** Stops writing; an event that is not committed by then was never visible. */
  close(): void {
    this.#closing.abort(new VerbatimError('UNAVAILABLE', 'The server is stopping'))
  }

  #schedule(appender: RunAppender): void {
    this.#waiting.add(appender)
    if (this.#isScheduled) return
    this.#isScheduled = true
    // After this turn of the event loop: events that arrived in one packet commit together.
    globalThis.setImmediate(() => void this.#drain())
  }

  async #drain(): Promise<void> {
    while (this.#waiting.size > 0) {
      // A run that was lost meanwhile has nothing left to write, and must not write even an empty entry.
      const appenders = [...this.#waiting].filter((appender) => appender.hasPending)
      this.#waiting.clear()
      if (appenders.length > 0) await this.#commitInPace(appenders)
      for (const appender of appenders) if (appender.hasPending) this.#waiting.add(appender)
    }
    this.#isScheduled = false
  }

  async #commitInPace(appenders: readonly RunAppender[]): Promise<void> {
    const { clock, liveRuns, onCommit } = this.#options
    const beganMs = clock.monotonicMs()
    await this.#commit(appenders)
    const tookMs = clock.monotonicMs() - beganMs
    onCommit({ tookMs, runs: appenders.length })
    const pauseMs = Math.min(paceMs.max, paceMs.perRun * liveRuns()) - tookMs
    if (pauseMs >= 1) await sleep(pauseMs, this.#closing.signal).catch(() => {}) // closed: what waits is refused at once
  }

  async #commit(appenders: readonly RunAppender[]): Promise<void> {
    const taken = appenders.map((appender) => ({ appender, entry: appender.take() }))
    const entries = taken.map((one) => one.entry)
    const { controller, release } = childController(this.#closing.signal)
    const { signal } = controller
    const timer = setTimeout(() => controller.abort(unwritable), this.#options.selfFenceMs)
    try {
      const outcomes = await this.#options.eventLog.append(entries, { signal })
      this.stats.commits++
      for (const [at, { appender, entry }] of taken.entries()) {
        appender.settle(entry, outcomes[at] ?? 'fenced')
        // Followers send what is settled. With many runs others get their turn in between: a balancer that asks for health, too.
        if (at % settledAtOnce === settledAtOnce - 1) await setImmediate()
      }
    } catch (error) {
      // An entry that MongoDB refuses must not fail the others: one write for each entry tells which it is.
      if (taken.length > 1 && !signal.aborted) for (const one of taken) await this.#commitAlone(one, signal)
      else for (const { appender } of taken) appender.lose(error)
    } finally {
      clearTimeout(timer)
      release()
    }
  }

  async #commitAlone(
    { appender, entry }: { appender: RunAppender; entry: LogEntry },
    signal: AbortSignal,
  ): Promise<void> {
    try {
      const [outcome = 'fenced'] = await this.#options.eventLog.append([entry], { signal })
      appender.settle(entry, outcome)
    } catch (error) {
      appender.lose(error)
    }
  }
}

type AppendedRun = Pick<OwnedRun, 'key' | 'owner'>

interface AppenderOptions {
  readonly run: AppendedRun
  readonly lastSeq: number
  readonly events: AppenderEvents
  readonly schedule: (appender: RunAppender) => void
  readonly stats: WriterStats
  readonly maxPendingBytes: number
}

/** One run's appender. Numbers its events, keeps them until they are committed, and makes the agent wait at the bound. */
export class RunAppender {
  readonly #options: AppenderOptions
  readonly #idle = new Set<() => void>()
  #pending: { event: RunEvent; bytes: number }[] = []
  #pendingBytes = 0
  #inFlightBytes = 0
  #nextSeq: number
  #lostBy: Error | undefined

  constructor(options: AppenderOptions) {
    this.#options = options
    this.#nextSeq = options.lastSeq + 1
  }

  get hasPending(): boolean {
    return this.#pending.length > 0 && this.#lostBy === undefined
  }

  /** The seq that the next event of the log will have; exact after {@link flush}. */
  get nextSeq(): number {
    return this.#nextSeq
  }

  /**
   * Takes an event for the next commit; resolves at once, or when there is room again.
   *
   * @throws the error the run was lost by; the signal's reason when it aborts while there is no room
   */
  async append(event: RunEvent, signal: AbortSignal): Promise<void> {
    this.#throwIfLost()
    this.#push(event, byteSizeOf(event))
    this.#options.schedule(this)
    while (this.#pendingBytes + this.#inFlightBytes > this.#options.maxPendingBytes) {
      await raceSignal(this.#settled(), signal)
    }
  }

  /** Resolves when everything appended is committed. @throws the error the run was lost by */
  async flush(): Promise<void> {
    while (this.#pendingBytes + this.#inFlightBytes > 0) await this.#settled()
    this.#throwIfLost()
  }

  /** @internal The next commit's entry. */
  take(): LogEntry {
    let bytes = 0
    let count = 0
    while (
      count < this.#pending.length &&
      (count === 0 || bytes + (this.#pending[count]?.bytes ?? 0) <= maxEntryBytes)
    ) {
      bytes += this.#pending[count]?.bytes ?? 0
      count++
    }
    const events = this.#pending.splice(0, count).map((one) => one.event)
    const firstSeq = this.#nextSeq
    this.#nextSeq += events.length
    this.#pendingBytes -= bytes
    this.#inFlightBytes = bytes
    const { key, owner } = this.#options.run
    return { key, owner, firstSeq, batchId: crypto.randomUUID(), events }
  }

  /** @internal The outcome of an entry. */
  settle(entry: LogEntry, outcome: 'stored' | 'fenced'): void {
    if (outcome === 'fenced') return this.lose(errorOf('RUN_FENCED'))
    const bytes = this.#inFlightBytes
    this.#inFlightBytes = 0
    this.#options.stats.pendingBytes -= bytes
    this.#options.stats.eventsCommitted += entry.events.length
    this.#options.events.onCommitted({ firstSeq: entry.firstSeq, events: [...entry.events] }, bytes)
    this.#wake()
  }

  /** @internal The run cannot be written any more. */
  lose(error: unknown): void {
    this.#lostBy = error instanceof Error ? error : new Error('The log refused an entry', { cause: error })
    this.#options.stats.pendingBytes -= this.#pendingBytes + this.#inFlightBytes
    this.#pending = []
    this.#pendingBytes = 0
    this.#inFlightBytes = 0
    this.#options.events.onLost(error)
    this.#wake()
  }

  #push(event: RunEvent, bytes: number): void {
    const last = this.#pending.at(-1)
    const merged = last && mergeDeltas(last.event, event)
    if (last !== undefined && merged !== undefined) {
      last.event = merged
      last.bytes += bytes
    } else {
      this.#pending.push({ event, bytes })
    }
    this.#pendingBytes += bytes
    this.#options.stats.pendingBytes += bytes
  }

  #throwIfLost(): void {
    if (this.#lostBy !== undefined) throw this.#lostBy
  }

  async #settled(): Promise<void> {
    await new Promise<void>((resolve) => this.#idle.add(resolve))
    this.#throwIfLost()
  }

  #wake(): void {
    for (const resolve of this.#idle) resolve()
    this.#idle.clear()
  }
}

/** An upper bound: three bytes for each UTF-16 unit, and a constant for a delta's frame. */
function byteSizeOf(event: RunEvent): number {
  if (event.type === 'content_block_delta' && event.delta.type === 'text_delta') return 64 + event.delta.text.length * 3
  return JSON.stringify(event).length * 3
}

/** Longer texts are not merged further, so that one event stays small. */
const maxMergedLength = 16 * 1024

/** One event for two adjacent deltas of the same kind in the same block; undefined when they do not merge. */
function mergeDeltas(first: RunEvent, second: RunEvent): RunEvent | undefined {
  if (first.type !== 'content_block_delta' || second.type !== 'content_block_delta') return undefined
  if (first.index !== second.index) return undefined
  const [a, b] = [first.delta, second.delta]
  if (a.type === 'text_delta' && b.type === 'text_delta' && a.text.length + b.text.length <= maxMergedLength) {
    return { ...first, delta: { ...a, text: a.text + b.text } }
  }
  if (
    a.type === 'thinking_delta' &&
    b.type === 'thinking_delta' &&
    a.thinking.length + b.thinking.length <= maxMergedLength
  ) {
    return { ...first, delta: { ...a, thinking: a.thinking + b.thinking } }
  }
  return undefined
}
