/** Where the engine is wired: ports in, {@link Engine} out. `runs/` holds the steps of a run, run-executor.ts drives them. */
import { reasonOf, VerbatimError } from '../contract/errors.ts'
import { WatchOnDemand } from '../async/watch-on-demand.ts'
import { createAttachmentActions } from '../attachments/attachment-actions.ts'
import { openAudit } from '../audit/open-audit.ts'
import { openLimits } from '../limits/open-limits.ts'
import type { Agent } from '../ports/agent.ts'
import type { AuditRecorder } from '../ports/audit.ts'
import { parseEngineOptions } from '../ports/engine-options.ts'
import type { EngineOptions, EngineOptionsInput } from '../ports/engine-options.ts'
import type { LogWatcher } from '../ports/event-log.ts'
import type { EnginePorts, ResolvedPorts } from '../ports/engine-ports.ts'
import { silentLogger } from '../ports/logger.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { LiveRuns } from '../runs/lifecycle/live-runs.ts'
import { pollCancelRequests } from '../runs/lifecycle/poll-cancel-requests.ts'
import { renewLeases } from '../runs/lifecycle/renew-leases.ts'
import { EventWriter } from '../runs/log/append-events.ts'
import { archiveRuns } from '../runs/log/archive-runs.ts'
import { AwaitedRuns } from '../runs/log/awaited-runs.ts'
import { RunTails } from '../runs/log/run-tail.ts'
import { recoverRuns } from '../runs/recovery/recover-runs.ts'
import { createPrincipalActions } from '../principals/principal-actions.ts'
import { purgeSessions } from '../sessions/purge-sessions.ts'
import { SessionFeeds } from '../sessions/follow/session-feeds.ts'
import { createMessageActions, createSessionActions } from '../sessions/session-actions.ts'
import type { Engine } from './engine.ts'
import { createRunActions } from './run-actions.ts'
import { RunExecutor, stoppingError } from './run-executor.ts'
import { systemClock } from './system-clock.ts'

/**
 * Makes the engine and starts its loops. The caller closes it, and after that the connections of the ports.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`
 */
export function createEngine(ports: EnginePorts, options: EngineOptionsInput = {}): Engine {
  const { logger = silentLogger, clock = systemClock } = ports
  const resolved = { ...ports, logger, clock }
  const parsed = parseEngineOptions(options)
  const audit = openAudit(resolved, parsed)
  const { executor, stop, remoteWatch } = createExecutor(resolved, { options: parsed, audit })
  const { stopping } = executor.context
  const feeds = new SessionFeeds({ states: ports.sessionStates, watcher: ports.sessionWatcher, ...parsed, stopping })
  const { context } = executor
  const gauges = { followers: 0 }
  const loops = [...startLoops(context), audit.store(stopping)]
  const close = async () => {
    await executor.release()
    stop()
    context.writer.close()
    await Promise.all([...loops, remoteWatch?.closed(), feeds.closed()])
    await audit.close()
  }
  return {
    sessions: createSessionActions(context, { feeds, gauges }),
    messages: createMessageActions(context),
    runs: createRunActions(executor, gauges),
    attachments: createAttachmentActions(context),
    principals: createPrincipalActions(context),
    audit: {
      record: (access) => audit.record(access),
      list: (request) => resolved.auditRepository.list(request),
    },
    agentIds: [...context.agents.keys()],
    draining: context.draining,
    stats: () => ({
      runsStarted: executor.runsStarted,
      runsEnded: { ...executor.runsEnded },
      runsActive: context.liveRuns.size,
      ...gauges,
      ...context.writer.stats,
    }),
    async ready(signal) {
      executor.requireOpen()
      await checkReady(resolved, signal)
    },
    async drain({ graceMs }) {
      await executor.drain(graceMs)
      await executor.release()
      stop()
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function createExecutor(ports: ResolvedPorts, { options, audit }: { options: EngineOptions; audit: AuditRecorder }) {
  const { eventLog, runRepository, logWatcher } = ports
  const stopping = new AbortController()
  const tails = new RunTails({ eventLog, ...options, onRemoteWait: () => remoteWatch?.start() })
  const awaitedRuns = new AwaitedRuns({ runRepository, ...options, onStored: (key) => tails.hint(key) })
  const remoteWatch = logWatcher && new WatchOnDemand(watchOf(logWatcher, { tails, awaitedRuns }), stopping.signal)
  const liveRuns = new LiveRuns()
  const executor = new RunExecutor({
    ports,
    options,
    audit,
    admission: openLimits(ports, options, () => liveRuns.size),
    agents: agentsById(ports.agents),
    processId: crypto.randomUUID(),
    tails,
    awaitedRuns,
    writer: new EventWriter({ eventLog, ...options }),
    liveRuns,
    stopping: stopping.signal,
  })
  return { executor, remoteWatch, stop: () => stopping.abort(stoppingError()) }
}

/** The watch of the fleet's log, which is needed while a run of another process is followed here. */
function watchOf(watcher: LogWatcher, { tails, awaitedRuns }: { tails: RunTails; awaitedRuns: AwaitedRuns }) {
  const onGap = () => {
    tails.hintAll()
    awaitedRuns.look()
  }
  return {
    watch: (signal: AbortSignal) => watcher.watch({ onGrowth: (key) => tails.hint(key), onGap }, signal),
    isNeeded: () => tails.hasRemote,
  }
}

/** The agents by their ids, in the order given. @throws VerbatimError `INVALID_CONFIGURATION` when two share an id */
function agentsById(agents: readonly Agent[]): ReadonlyMap<string, Agent> {
  const byId = new Map(agents.map((agent) => [agent.id, agent]))
  if (byId.size < agents.length) throw new VerbatimError('INVALID_CONFIGURATION', 'agents: two agents have the same id')
  return byId
}

/** What the engine does by itself while it is open; each loop resolves when its signal aborts, and none rejects. */
function startLoops(context: EngineContext): Promise<void>[] {
  const { draining, stopping } = context
  return [
    renewLeases(context, stopping),
    pollCancelRequests(context, stopping),
    // A process that drains takes no run over: other processes do.
    recoverRuns(context, draining),
    archiveRuns(context, stopping),
    purgeSessions(context, stopping),
  ]
}

async function checkReady(
  { checkReady: check, logger }: ResolvedPorts,
  signal: AbortSignal | undefined,
): Promise<void> {
  try {
    await check(signal)
  } catch (error) {
    if (signal?.aborted !== true) logger.warn({ reason: reasonOf(error) }, 'The server is not ready')
    throw error
  }
}
