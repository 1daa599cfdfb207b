/**
 * The runs of this process: takes them on, drives them, counts them, and releases them when the process stops.
 * In: runs that a step has stored or taken over. Out: their ends, or their leases for other processes.
 */
import { raceSignal } from '../async/race-signal.ts'
import { isVerbatimError, VerbatimError } from '../contract/errors.ts'
import type { ErrorCode } from '../contract/errors.ts'
import type { Owner } from '../contract/principal.ts'
import type { Run } from '../contract/run.ts'
import type { Agent } from '../ports/agent.ts'
import type { RunKey } from '../ports/event-log.ts'
import { admitStart } from '../limits/admit-start.ts'
import type { AdmittedStart } from '../limits/admit-start.ts'
import type { LeaseHolder, PromotedRun } from '../ports/run-repository.ts'
import { releaseTimeoutMs } from '../runs/engine-context.ts'
import type { EngineContext, Executor } from '../runs/engine-context.ts'
import { awaitTurn } from '../runs/lifecycle/await-turn.ts'
import { driveRun } from '../runs/lifecycle/drive-run.ts'
import { observeRun } from '../telemetry/observe-run.ts'
import { resolveInDoubtStart } from '../runs/lifecycle/resolve-in-doubt-start.ts'
import type { Started } from '../runs/lifecycle/start-run.ts'
import type { InDoubtStart, StartedRun } from '../runs/lifecycle/started-run.ts'

export class RunExecutor implements Executor {
  /** What the steps work with, this executor included. */
  readonly context: EngineContext
  readonly runsEnded = { completed: 0, refused: 0, failed: 0, cancelled: 0, interrupted: 0 }
  readonly startsRefused: Partial<Record<ErrorCode, number>> = {}
  #runsStarted = 0
  /** The agents of inline runs that wait in a queue. The process learns of a turn twice; what takes the agent out drives the run. */
  readonly #inlineAgents = new Map<RunKey, Agent>()
  readonly #draining = new AbortController()
  /** Aborts when active runs are released: starts in doubt are read once more. */
  readonly #releasing = new AbortController()
  readonly #leaving = new AbortController()

  constructor(parts: Omit<EngineContext, 'executor' | 'draining' | 'leaving'>) {
    this.context = { ...parts, executor: this, draining: this.#draining.signal, leaving: this.#leaving.signal }
  }

  get runsStarted(): number {
    return this.#runsStarted
  }

  /** @throws VerbatimError `UNAVAILABLE` when the engine drains */
  requireOpen(): void {
    if (this.#draining.signal.aborted) throw stoppingError()
  }

  /**
   * Runs a step that may start a run, when its owner may start one, and takes on what it started. A process that stops waits for it,
   * and drives or releases the run.
   */
  async start(admitted: AdmittedStart, starting: () => Promise<Started>): Promise<Run> {
    this.requireOpen()
    const { tails, ports } = this.context
    const begun = tails.expectStart(ports.eventLog.keyOf(admitted.owner, admitted.runId))
    const taking = admitStart(this.context.admission, admitted, async () => {
      const started = await starting()
      return { type: started.type, run: this.#takeOn(started, admitted.owner) }
    })
    this.context.liveRuns.addBeginning(taking.then(ignore, ignore))
    try {
      return (await taking).run
    } catch (error) {
      this.#countRefusal(error)
      throw error
    } finally {
      begun()
    }
  }

  #countRefusal(error: unknown): void {
    if (!isVerbatimError(error) || !refusals.has(error.code)) return
    this.startsRefused[error.code] = (this.startsRefused[error.code] ?? 0) + 1
    this.context.ports.telemetry?.startRefused(error.code, error.data.kind)
  }

  async driveOrRelease(started: StartedRun): Promise<void> {
    if (!this.#draining.signal.aborted) return this.#drive(started)
    await this.context.ports.runRepository.releaseLeases([started.owned], this.context.processId)
  }

  resolveInDoubt(start: InDoubtStart): void {
    const { ports, options, liveRuns } = this.context
    const signal = AbortSignal.any([AbortSignal.timeout(options.selfFenceMs), this.#releasing.signal])
    const resolving = resolveInDoubtStart(ports.runRepository, start, signal).then((begun) => {
      if (begun !== undefined && liveRuns.get(begun.owned.key) === undefined) this.#drive(begun)
    })
    liveRuns.addBeginning(resolving)
  }

  holder(): LeaseHolder {
    const { processId, options, agents, draining } = this.context
    return { processId, leaseMs: options.leaseMs, agentIds: draining.aborted ? [] : [...agents.keys()] }
  }

  drivePromoted(promoted: PromotedRun | undefined): void {
    if (promoted === undefined) return
    const { agents, liveRuns } = this.context
    const { key, isInline, run } = promoted.owned
    const agent = isInline ? this.#inlineAgents.get(key) : agents.get(run.agentId)
    // Recovery of this process may have resumed the run before the end was confirmed.
    if (agent === undefined || liveRuns.get(key) !== undefined) return
    this.#inlineAgents.delete(key)
    // A lease that cannot be released expires: the run is another process's then.
    liveRuns.addBeginning(this.driveOrRelease({ ...promoted, agent }).catch(ignore))
  }

  /** Takes no new runs, and lets active ones end within `graceMs`. */
  async drain(graceMs: number): Promise<void> {
    this.#draining.abort(stoppingError())
    const grace = AbortSignal.timeout(graceMs)
    await raceSignal(this.context.liveRuns.idle(), grace).catch(ignore) // nothing but the signal rejects
  }

  /**
   * Releases the runs that are still active: what they have made is stored, and another process may take them over at once. A
   * database that does not answer delays this by `releaseTimeoutMs` at most: a process that does not exit when asked is killed.
   */
  async release(): Promise<void> {
    const { ports, liveRuns, processId } = this.context
    this.#draining.abort(stoppingError())
    this.#releasing.abort()
    const leave = () => this.#leaving.abort(stoppingError())
    const timer = setTimeout(leave, releaseTimeoutMs)
    const owned = await liveRuns.releaseAll(stoppingError(), this.#leaving.signal)
    clearTimeout(timer)
    leave()
    if (owned.length === 0) return
    try {
      const releasing = ports.runRepository.releaseLeases(owned, processId)
      await raceSignal(releasing, AbortSignal.timeout(releaseTimeoutMs))
    } catch {
      ports.logger.warn(
        { runs: owned.length },
        'Leases could not be released; the runs are taken over when they expire',
      )
    }
  }

  #takeOn(started: Started, owner: Owner): Run {
    const { liveRuns, tails } = this.context
    switch (started.type) {
      case 'existing':
        return started.run
      case 'queued':
        for (const key of started.replaced) {
          liveRuns.cancel(key)
          tails.hint(key)
        }
        tails.hint(started.key)
        if (started.isInline) liveRuns.addBeginning(this.#awaitTurn(started, owner))
        return started.run
      case 'started':
        this.#drive({ ...started, events: [started.startedEvent] })
        return started.owned.run
    }
  }

  /** Drives an inline run when its turn comes; never rejects. */
  async #awaitTurn({ key, run, agent }: Extract<Started, { type: 'queued' }>, owner: Owner): Promise<void> {
    this.#inlineAgents.set(key, agent)
    const begun = await awaitTurn(this.context, { key, owner, runId: run.id }).catch(ignore)
    // A process that drains may promote the run still, and then releases it.
    const isToDrive = !this.#draining.signal.aborted && this.#inlineAgents.delete(key)
    if (begun !== undefined && isToDrive) this.#drive({ ...begun, agent })
  }

  /** From here on the run belongs to the process: nothing of the request that started it reaches it. */
  #drive({ owned, agent, events }: StartedRun): void {
    const { ports, tails, liveRuns } = this.context
    this.#runsStarted++
    const tail = tails.acquire(owned.key)
    tail.setLocal(true)
    const last = events.slice(-1)
    tail.publish({ firstSeq: events.length, events: last }, JSON.stringify(last).length)
    const stop = new AbortController()
    const driven = { owned, agent, events, signal: stop.signal, onCommitted: tail.publish.bind(tail) }
    const done = observeRun(ports.telemetry, driven, (run) => driveRun(this.context, run)).then((outcome) => {
      tail.setLocal(false)
      tails.release(tail)
      if (outcome !== 'lost') this.runsEnded[outcome]++
    })
    liveRuns.add({ owned, stop, done })
  }
}

/** What a caller receives from an engine that stops. */
export function stoppingError(): VerbatimError {
  return new VerbatimError('UNAVAILABLE', 'The server is stopping; connect again to reach another', {
    data: { retryAfterMs: 500 },
  })
}

/** The codes of starts that a limit, a budget, a busy session or a full process refuses: the same start may be taken later. */
const refusals: ReadonlySet<ErrorCode> = new Set(['RATE_LIMITED', 'BUDGET_EXCEEDED', 'OVERLOADED', 'SESSION_BUSY'])

function ignore(): void {}
