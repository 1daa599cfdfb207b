/** Runs a plan on a world: prompts and faults at the same time, then the healing, then the wait for the ends. */
import { setTimeout as sleep } from 'node:timers/promises'
import { attack } from '../clients/hostile-caller.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world/world.ts'
import { ClientPaths } from './client-paths.ts'
import { newEvidence } from './evidence.ts'
import type { Evidence, RunEvidence } from './evidence.ts'
import { injectFault } from './inject-fault.ts'
import type { FaultPlan, Plan, SessionPlan } from './plan.ts'
import { labelOf } from './plan.ts'
import { feelPulse } from './pulse.ts'
import { takeTurn } from './take-turn.ts'
import type { TurnContext } from './take-turn.ts'

/** Everything ends within this time and a lease after the healing, in milliseconds. */
const slackMs = 45_000
/** The machine's lateness prolongs that time by at most this, in milliseconds. */
const maxGivenMs = 120_000

export interface PlanRun {
  readonly evidence: Evidence
  /** Faults that were injected, by kind. */
  readonly injected: ReadonlyMap<string, number>
}

export async function runPlan(world: World, plan: Plan): Promise<PlanRun> {
  await world.use(plan.profile, plan.graceMs)
  for (const server of world.servers) server.clearLog()
  world.exits.length = 0
  const violations: string[] = []
  const injected = new Map<string, number>()
  await using paths = new ClientPaths(world)
  const over = new AbortController()
  const pulse = feelPulse(world, over.signal)
  const context: TurnContext = { world, paths, signal: over.signal, violations }
  const sessions = plan.sessions.map((session) => ({
    session,
    runs: session.turns.map((turn) => newEvidence(session, turn)),
  }))
  const talking = Promise.all(sessions.map(async ({ session, runs }) => await talk(context, session, runs)))
  talking.catch(() => {}) // awaited below, after the faults
  const hostile = startHostile(context, plan)
  const first = sessions.flatMap(({ runs }) => runs.slice(0, 1))
  if (plan.faultsFrom === 'streaming') await untilStreaming(first)
  if (plan.faultsFrom === 'tools') await untilToolsCalled(world, first)
  await injectAll(context, plan.faults, injected)
  await world.heal()
  const healedAt = performance.now()
  const slowBeforeMs = pulse.slowMs
  const deadline = setInterval(() => {
    const givenMs = Math.min(pulse.slowMs - slowBeforeMs, maxGivenMs)
    if (performance.now() - healedAt > slackMs + world.leases.leaseMs + givenMs) over.abort()
  }, 100)
  await talking
  violations.push(...(await hostile.stop()))
  if (plan.hostileCalls > 0) injected.set('hostile-caller', 1)
  if (over.signal.aborted) violations.push('hanging: not everything ended in time after the healing')
  clearInterval(deadline)
  over.abort()
  for (const exit of world.exits) if (exit !== 0) violations.push(`a drained server ended with ${exit}`)
  const asked = sessions.flatMap(({ runs }) => runs)
  const runs = asked.flatMap((run) => (run.retriedBy === undefined ? [run] : [run, run.retriedBy]))
  const { slowMs } = pulse
  const wasSlow = slowMs > world.leases.selfFenceMs / 2
  return { evidence: { plan, runs, wasSlow, slowMs, violations }, injected }
}

/** The plan's hostile caller, if it has one; `stop` resolves to what was wrong with its answers. */
function startHostile({ world, signal }: TurnContext, plan: Plan): { stop(): Promise<readonly string[]> } {
  const { hostileCalls: callers, sessions, seed } = plan
  const stopping = new AbortController()
  const attacking = attack({
    callers,
    endpoints: world.servers.map(({ front }) => front),
    random: createRandom(`${seed}/hostile-calls`),
    sessionIds: sessions.map(({ sessionId }) => sessionId),
    runIds: sessions.flatMap(({ turns }) => turns.map(({ prompt }) => prompt.runId)),
    signal: AbortSignal.any([signal, stopping.signal]),
  })
  return {
    async stop() {
      stopping.abort()
      return (await attacking).map((text) => `hostile caller: ${text}`)
    },
  }
}

/** The turns of a session, one after the other or overlapping. */
async function talk(context: TurnContext, session: SessionPlan, runs: readonly RunEvidence[]): Promise<void> {
  const turns: Promise<void>[] = []
  for (const run of runs) {
    if (session.overlaps && run.turn.delayMs > 0) await sleep(run.turn.delayMs)
    const ended = new Promise<void>((resolve) => turns.push(takeTurn(context, run, resolve)))
    if (!session.overlaps) await ended
  }
  await Promise.all(turns)
}

/** Waits until readers have a few events of each run. */
async function untilStreaming(runs: readonly RunEvidence[]): Promise<void> {
  const isStreaming = ({ histories }: RunEvidence) =>
    histories.some((history) => history.lastSeq > 4 || history.hasEnded)
  await untilTrue(async () => runs.every(isStreaming))
}

/** Waits until each run has called its tool. */
async function untilToolsCalled({ db }: World, runs: readonly RunEvidence[]): Promise<void> {
  const ofRuns = { run: { $in: runs.map(({ runId }) => runId) } }
  await untilTrue(async () => (await db.collection('tool_calls').distinct('run', ofRuns)).length === runs.length)
}

async function untilTrue(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + slackMs
  while (!(await condition()) && performance.now() < deadline) await sleep(10)
}

async function injectAll(context: TurnContext, faults: readonly FaultPlan[], injected: Map<string, number>) {
  await Promise.all(
    faults.map(async (fault) => {
      await sleep(fault.atMs)
      // One fault can prevent another: a mongod that was just killed takes no fail point.
      const isDone = await injectFault(context.world, fault, () => context.paths.move()).then(
        () => true,
        () => false,
      )
      const label = isDone ? labelOf(fault) : `${labelOf(fault)} (not possible)`
      injected.set(label, (injected.get(label) ?? 0) + 1)
    }),
  )
}
