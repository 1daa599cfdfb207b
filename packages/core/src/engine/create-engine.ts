/**
 * Where the engine is wired: ports in, {@link Engine} out. What a run goes through, in order: start, drive, follow,
 * cancel, renew, recover, drain.
 */
import { raceSignal } from '../async/race-signal.ts'
import { isVerbatimError, VerbatimError } from '../contract/errors.ts'
import type { RunId } from '../contract/identifiers.ts'
import type { Owner } from '../contract/principal.ts'
import type { Run } from '../contract/run.ts'
import type { Agent } from '../ports/agent.ts'
import { silentLogger } from '../ports/logger.ts'
import type { OwnedRun } from '../ports/run-repository.ts'
import { EventWriter } from '../runs/log/append-events.ts'
import { agentsById } from './agents-by-id.ts'
import { resolveInDoubtStart } from '../runs/lifecycle/resolve-in-doubt-start.ts'
import type { InDoubtStart } from '../runs/lifecycle/resolve-in-doubt-start.ts'
import { beginQueuedRun } from '../runs/recovery/begin-queued-runs.ts'
import type { StartedRun } from '../runs/lifecycle/started-run.ts'
import { cancelRun } from '../runs/lifecycle/cancel-run.ts'
import { cancelReason, driveRun } from '../runs/lifecycle/drive-run.ts'
import type { DriveOutcome } from '../runs/lifecycle/drive-run.ts'
import { followRun } from '../runs/log/follow-run.ts'
import { LiveRuns } from '../runs/lifecycle/live-runs.ts'
import { retryRun } from '../runs/lifecycle/retry-run.ts'
import { RunTails } from '../runs/log/run-tail.ts'
import { startRun } from '../runs/lifecycle/start-run.ts'
import type { StartDeps, Started } from '../runs/lifecycle/start-run.ts'
import type { Turns } from '../runs/lifecycle/turns.ts'
import { RemoteWatch } from '../runs/log/watch-log.ts'
import type { EngineStats, FollowOptions, RunActions, Engine } from './engine.ts'
import { parseEngineOptions } from './engine-options.ts'
import type { EngineOptions, EngineOptionsInput } from './engine-options.ts'
import type { EnginePorts } from './engine-ports.ts'
import type { DeleteDeps } from '../sessions/delete-session.ts'
import { createMessageActions, createSessionActions } from '../sessions/session-actions.ts'
import { startLoops } from './start-loops.ts'
import { systemClock } from './system-clock.ts'

/**
 * Makes the engine and starts its heartbeat and recovery. The caller closes it, and then what the ports hold.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`
 */
export function createEngine(ports: EnginePorts, options: EngineOptionsInput = {}): Engine {
  return new EngineRuntime(ports, parseEngineOptions(options))
}

/** How long runs that are let go of may take to store what they have, and then as long to give up their leases, in milliseconds. */
const releaseTimeoutMs = 2_000

/** How often it is looked whether the change stream is still needed, in milliseconds: it stays open 0 to 10 s behind its last use. */
const watchLingerMs = 10_000

class EngineRuntime implements Engine {
  readonly sessions
  readonly messages
  readonly runs: RunActions
  readonly agentIds

  readonly #ports: Required<Omit<EnginePorts, 'logWatcher'>>
  readonly #options: EngineOptions
  readonly #agents: ReadonlyMap<string, Agent>
  readonly #processId = crypto.randomUUID()
  readonly #tails: RunTails
  readonly #writer: EventWriter
  readonly #remoteWatch: RemoteWatch | undefined
  readonly #liveRuns = new LiveRuns()
  readonly #turns: Turns = {
    offer: () => ({ processId: this.#processId, offerMs: this.#isDraining ? 0 : this.#options.heartbeatMs }),
    begin: (next) => {
      // What this process does not begin, others do when the offer lapses.
      if (next !== undefined && !this.#isDraining && this.#agents.has(next.run.agentId)) void this.#begin(next)
    },
  }
  readonly #draining = new AbortController()
  /** Runs that go on are let go of; those that may yet begin are looked for once more. */
  readonly #handingOver = new AbortController()
  /** Nothing is waited for any more. */
  readonly #leaving = new AbortController()
  readonly #stopping = new AbortController()
  readonly #background: readonly Promise<void>[]
  readonly #runsEnded = { completed: 0, failed: 0, cancelled: 0, interrupted: 0 }
  #runsStarted = 0
  #followers = 0

  constructor(ports: EnginePorts, options: EngineOptions) {
    this.#ports = { logger: silentLogger, clock: systemClock, ...ports }
    this.#options = options
    this.#agents = agentsById(ports.agents)
    this.agentIds = [...this.#agents.keys()]
    this.#tails = new RunTails({
      log: ports.eventLog,
      maxRingBytes: options.maxRingBytes,
      pollMs: options.pollMs,
      onRemoteWait: () => this.#remoteWatch?.start(),
    })
    if (ports.logWatcher !== undefined) {
      const watchDeps = { watcher: ports.logWatcher, tails: this.#tails, lingerMs: watchLingerMs }
      this.#remoteWatch = new RemoteWatch(watchDeps, this.#stopping.signal)
    }
    this.#writer = new EventWriter({
      log: ports.eventLog,
      maxPendingBytes: options.maxPendingBytes,
      unwritableMs: options.selfFenceMs,
    })
    this.sessions = createSessionActions(ports.sessionRepository, this.#deleteDeps())
    this.messages = createMessageActions(ports.sessionRepository)
    this.runs = this.#runActions()
    this.#background = this.#startLoops()
  }

  get draining(): AbortSignal {
    return this.#draining.signal
  }

  get #isDraining(): boolean {
    return this.#draining.signal.aborted
  }

  stats(): EngineStats {
    return {
      runsStarted: this.#runsStarted,
      runsEnded: { ...this.#runsEnded },
      runsActive: this.#liveRuns.size,
      followers: this.#followers,
      ...this.#writer.stats,
    }
  }

  async ready(signal?: AbortSignal): Promise<void> {
    this.#requireOpen()
    try {
      await this.#ports.checkReady(signal)
    } catch (error) {
      const reason = isVerbatimError(error) ? error.message : 'unexpected'
      if (signal?.aborted !== true) this.#ports.logger.warn({ reason }, 'The server is not ready')
      throw error
    }
  }

  async drain({ graceMs }: { graceMs: number }): Promise<void> {
    this.#draining.abort(stoppingError())
    const grace = AbortSignal.timeout(graceMs)
    const timeIsUp = new Promise<void>((resolve) => grace.addEventListener('abort', () => resolve(), { once: true }))
    await Promise.race([this.#liveRuns.idle(), timeIsUp])
    await this.#releaseOwnedRuns()
    this.#stopping.abort(stoppingError())
  }

  async close(): Promise<void> {
    this.#draining.abort(stoppingError())
    await this.#releaseOwnedRuns()
    this.#stopping.abort(stoppingError())
    this.#writer.close()
    await Promise.all([...this.#background, this.#remoteWatch?.closed()])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /**
   * Lets go of the runs that still go on: what they have made is stored, and another process may take them over at once. A
   * database that does not answer holds nothing up for longer than `releaseTimeoutMs`: a process that is told to go is killed if it stays.
   */
  async #releaseOwnedRuns(): Promise<void> {
    this.#handingOver.abort()
    const leave = () => this.#leaving.abort(stoppingError())
    const timeIsUp = setTimeout(leave, releaseTimeoutMs)
    const owned = await this.#liveRuns.releaseAll(stoppingError(), this.#leaving.signal)
    clearTimeout(timeIsUp)
    leave()
    if (owned.length === 0) return
    try {
      const releasing = this.#ports.runRepository.releaseLeases(owned, this.#processId)
      await raceSignal(releasing, AbortSignal.timeout(releaseTimeoutMs))
    } catch {
      this.#ports.logger.warn(
        { runs: owned.length },
        'Leases could not be released; the runs are taken over when they lapse',
      )
    }
  }

  #deleteDeps(): DeleteDeps {
    const { runRepository, deletionRepository, eventLog: log } = this.#ports
    const { cancelWaitMs: deleteWaitMs, startWaitMs, leaseMs: lateWriteGraceMs } = this.#options
    const own = { tails: this.#tails, liveRuns: this.#liveRuns, stopping: this.#stopping.signal }
    return { log, runRepository, deletionRepository, ...own, startWaitMs, deleteWaitMs, lateWriteGraceMs }
  }

  #runActions(): RunActions {
    const { runRepository, eventLog: log } = this.#ports
    const { cancelWaitMs, startWaitMs } = this.#options
    const followDeps = { log, runRepository, tails: this.#tails, startWaitMs }
    const cancelDeps = { ...followDeps, liveRuns: this.#liveRuns, turns: this.#turns, cancelWaitMs }
    return {
      start: (owner, input) => this.#start((deps) => startRun(deps, owner, input)),
      follow: (owner, runId, options) => this.#follow(followDeps, log.keyOf(owner, runId), options),
      async get(owner: Owner, runId: RunId): Promise<Run> {
        const run = await runRepository.getRun(owner, runId)
        if (run === undefined) throw new VerbatimError('RUN_NOT_FOUND')
        return run
      },
      list: async (owner, sessionId, page) => {
        const [, runs] = await Promise.all([
          this.sessions.get(owner, sessionId),
          runRepository.listRuns(owner, sessionId, page),
        ])
        return runs
      },
      cancel: (owner, runId) => cancelRun(cancelDeps, owner, runId),
      retry: (owner, input) => this.#start((deps) => retryRun(deps, owner, input)),
    }
  }

  async #start(start: (deps: StartDeps) => Promise<Started>): Promise<Run> {
    this.#requireOpen()
    const starting = start(this.#startDeps()).then((started) => this.#takeOn(started))
    // Whoever stops this process waits for it: what it stores is driven or handed over.
    this.#liveRuns.addBeginning(starting.then(ignore, ignore))
    return await starting
  }

  #takeOn(started: Started): Run {
    switch (started.type) {
      case 'existing':
        return started.run
      case 'queued':
        for (const key of started.replaced) {
          this.#liveRuns.get(key)?.stop.abort(cancelReason)
          this.#tails.hint(key)
        }
        this.#tails.hint(started.key)
        this.#turns.begin(started.next)
        return started.run
      case 'started':
        this.#drive({ ...started, events: [started.startedEvent] })
        return started.owned.run
    }
  }

  /** Not awaited by whoever ended the run before: that one is over. */
  #begin(next: OwnedRun): Promise<void> {
    const { runRepository, clock, logger } = this.#ports
    const { leaseMs, selfFenceMs: beginMs } = this.#options
    const deps = { runRepository, clock, agents: this.#agents, leaseMs, beginMs, onInDoubt: this.#awaitLate.bind(this) }
    const beginning = beginQueuedRun(deps, next).then(
      (begun) => begun && this.#drive(begun),
      () => logger.warn({ runId: next.run.id }, 'A queued run could not begin; it is tried again'),
    )
    this.#liveRuns.addBeginning(beginning)
    return beginning
  }

  /** Whoever asked for the run has been answered; should it have begun all the same, it is driven. */
  #awaitLate(late: InDoubtStart): void {
    const signal = AbortSignal.any([AbortSignal.timeout(this.#options.selfFenceMs), this.#handingOver.signal])
    const awaiting = resolveInDoubtStart(this.#ports.runRepository, late, signal).then((begun) => {
      if (begun !== undefined && this.#liveRuns.get(begun.owned.key) === undefined) this.#drive(begun)
    })
    this.#liveRuns.addBeginning(awaiting)
  }

  #startDeps(): StartDeps {
    const { runRepository, clock } = this.#ports
    const { leaseMs, maxQueuedRuns } = this.#options
    const own = { agents: this.#agents, offer: this.#turns.offer(), onInDoubt: this.#awaitLate.bind(this) }
    return { runRepository, clock, leaseMs, maxQueuedRuns, ...own }
  }

  /** The run belongs to the process from here on: nothing of the request that started it reaches it. */
  #drive({ owned, agent, events }: StartedRun): void {
    this.#runsStarted++
    const tail = this.#tails.acquire(owned.key)
    tail.setLocal(true)
    const last = events.slice(-1)
    tail.publish({ firstSeq: events.length, events: last }, JSON.stringify(last).length)
    const stop = new AbortController()
    const driven = { owned, agent, events, signal: stop.signal, onCommitted: tail.publish.bind(tail) }
    const done = driveRun(this.#driveDeps(), driven).then((outcome) => {
      tail.setLocal(false)
      this.#tails.release(tail)
      this.#countEnd(outcome)
    })
    this.#liveRuns.add({ owned, stop, done })
  }

  /** A linked run that was stored while the process began to drain is another's to drive. */
  async #driveOrRelease(started: StartedRun): Promise<void> {
    if (!this.#isDraining) return this.#drive(started)
    await this.#ports.runRepository.releaseLeases([started.owned], this.#processId)
  }

  #driveDeps() {
    const { sessionRepository, runRepository, clock, logger } = this.#ports
    const { firstTokenMs, idleMs, totalMs, maxHistoryMessages, maxAnswerBytes, selfFenceMs } = this.#options
    const timeouts = { firstTokenMs, idleMs, totalMs }
    const bounds = { maxHistoryMessages, maxAnswerBytes, finishMs: selfFenceMs, releaseTimeoutMs }
    const own = { writer: this.#writer, turns: this.#turns, leaving: this.#leaving.signal }
    return { sessionRepository, runRepository, ...own, clock, logger, timeouts, ...bounds }
  }

  #countEnd(outcome: DriveOutcome): void {
    if (outcome !== 'lost') this.#runsEnded[outcome]++
  }

  async *#follow(deps: Parameters<typeof followRun>[0], key: Parameters<typeof followRun>[1], options: FollowOptions) {
    const signal = AbortSignal.any([options.signal, this.#stopping.signal])
    this.#followers++
    try {
      yield* followRun(deps, key, { after: options.after ?? 0, signal })
    } finally {
      this.#followers--
    }
  }

  #startLoops(): Promise<void>[] {
    return startLoops({
      ports: this.#ports,
      options: this.#options,
      processId: this.#processId,
      agents: this.#agents,
      liveRuns: this.#liveRuns,
      tails: this.#tails,
      turns: this.#turns,
      begin: this.#begin.bind(this),
      drive: this.#driveOrRelease.bind(this),
      draining: this.#draining.signal,
      stopping: this.#stopping.signal,
    })
  }

  #requireOpen(): void {
    if (this.#isDraining) throw stoppingError()
  }
}

function ignore(): void {}

function stoppingError(): VerbatimError {
  return new VerbatimError('UNAVAILABLE', 'The server is stopping; connect again to reach another', {
    data: { retryAfterMs: 500 },
  })
}
