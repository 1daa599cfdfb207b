/** Where the engine is wired: ports in, {@link Engine} out. `runs/` holds the steps of a run, run-executor.ts drives them. */
import { reasonOf, VerbatimError } from '../contract/errors.ts'
import { createAttachmentActions } from '../attachments/attachment-actions.ts'
import { openAudit } from '../audit/open-audit.ts'
import { openLimits } from '../limits/open-limits.ts'
import type { Agent } from '../ports/agent.ts'
import type { AuditRecorder } from '../ports/audit.ts'
import { parseEngineOptions } from '../ports/engine-options.ts'
import type { EngineOptions, EngineOptionsInput } from '../ports/engine-options.ts'
import type { EnginePorts, ResolvedPorts } from '../ports/engine-ports.ts'
import { silentLogger } from '../ports/logger.ts'
import type { EngineContext } from '../runs/engine-context.ts'
import { LiveRuns } from '../runs/lifecycle/live-runs.ts'
import { pollCancelRequests } from '../runs/lifecycle/poll-cancel-requests.ts'
import { renewLeases } from '../runs/lifecycle/renew-leases.ts'
import { EventWriter } from '../runs/log/append-events.ts'
import { archiveRuns } from '../runs/log/archive-runs.ts'
import { AwaitedRuns } from '../runs/log/awaited-runs.ts'
import { TailPolls } from '../runs/log/poll-tails.ts'
import { RunTails } from '../runs/log/run-tail.ts'
import type { RunTail } from '../runs/log/run-tail.ts'
import { recoverRuns } from '../runs/recovery/recover-runs.ts'
import { createPrincipalActions } from '../principals/principal-actions.ts'
import { createAgentStateActions } from '../sessions/agent-state-actions.ts'
import { purgeSessions } from '../sessions/purge-sessions.ts'
import { observePorts } from '../telemetry/observe-ports.ts'
import { SessionFeeds } from '../sessions/follow/session-feeds.ts'
import { createMessageActions, createSessionActions } from '../sessions/session-actions.ts'
import type { AuditActions, Engine, EngineStats } from './engine.ts'
import { createHints, createWants, openRunHints } from './hints.ts'
import type { Hints } from './hints.ts'
import { createRunActions } from './run-actions.ts'
import { RunExecutor, stoppingError } from './run-executor.ts'
import { systemClock } from './system-clock.ts'

/**
 * Makes the engine and starts its loops. The caller closes it, and after that the connections of the ports.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION`
 */
export function createEngine(ports: EnginePorts, options: EngineOptionsInput = {}): Engine {
  const resolved = resolvePorts(ports)
  const parsed = parseEngineOptions(options)
  const audit = openAudit(resolved, parsed)
  const hints = createHints(resolved)
  const { executor, stop, closeRemote } = createExecutor(resolved, { options: parsed, audit, hints })
  const { context } = executor
  const { stopping } = context
  const feeds = new SessionFeeds({ ...resolved, hints: hints.ofSessions, ...parsed, stopping })
  const gauges = { followers: 0 }
  const loops = [...startLoops(context), audit.store(stopping)]
  const close = async () => {
    await executor.release()
    stop()
    context.writer.close()
    await Promise.all([...loops, closeRemote(), feeds.closed()])
    await audit.close()
  }
  return {
    sessions: createSessionActions(context, { feeds, gauges }),
    messages: createMessageActions(context),
    agentStates: createAgentStateActions(context),
    runs: createRunActions(executor, gauges),
    attachments: createAttachmentActions(context),
    principals: createPrincipalActions(context),
    audit: auditActionsOf(resolved, audit),
    agentIds: [...context.agents.keys()],
    hints: () => hints.kind,
    draining: context.draining,
    continueTrace: ports.telemetry?.continueTrace.bind(ports.telemetry) ?? ((_headers, work) => work()),
    stats: () => ({ ...statsOf(executor), ...gauges }),
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

function statsOf(executor: RunExecutor): Omit<EngineStats, 'followers'> {
  return {
    runsStarted: executor.runsStarted,
    runsEnded: { ...executor.runsEnded },
    startsRefused: { ...executor.startsRefused },
    runsActive: executor.context.liveRuns.size,
    ...executor.context.writer.stats,
  }
}

function resolvePorts({ logger = silentLogger, clock = systemClock, ...ports }: EnginePorts): ResolvedPorts {
  return observePorts({ ...ports, logger, clock })
}

function auditActionsOf({ auditRepository }: ResolvedPorts, audit: AuditRecorder): AuditActions {
  return { record: (access) => audit.record(access), list: (request) => auditRepository.list(request) }
}

interface ExecutorParts {
  readonly options: EngineOptions
  readonly audit: AuditRecorder
  readonly hints: Hints
}

function createExecutor(ports: ResolvedPorts, { options, audit, hints }: ExecutorParts) {
  const { eventLog, runRepository, clock } = ports
  const stopping = new AbortController()
  const { signal } = stopping
  const onRemoteWait = (tail: RunTail) => {
    polls.start()
    wantHints(tail)
  }
  const tails = new RunTails({ eventLog, ...options, onRemoteWait })
  const awaitedRuns = new AwaitedRuns({ runRepository, ...options, onStored: (key) => tails.hint(key) })
  const hinted = { ...options, tails, awaitedRuns, hints: hints.ofRuns, stopping: signal }
  const runHints = openRunHints(ports, hinted)
  const wantHints = createWants({ runHints, awaitedRuns, stopping: signal })
  const hasHints = runHints.covers.bind(runHints)
  const polls = new TailPolls({ tails, eventLog, runRepository, ...options, hasHints, stopping: signal })
  const liveRuns = new LiveRuns()
  const admission = openLimits(ports, options, () => liveRuns.size)
  const onCommit = admission.load.committed.bind(admission.load)
  const executor = new RunExecutor({
    ports,
    options,
    audit,
    admission,
    agents: agentsById(ports.agents),
    processId: ports.peerHints?.processId ?? crypto.randomUUID(),
    tails,
    awaitedRuns,
    writer: new EventWriter({ eventLog, clock, liveRuns: () => liveRuns.size, onCommit, ...options }),
    liveRuns,
    stopping: signal,
  })
  const closeRemote = async () => void (await Promise.all([runHints.closed(), polls.closed()]))
  return { executor, closeRemote, stop: () => stopping.abort(stoppingError()) }
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
