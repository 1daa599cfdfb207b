/** F23: faults of tools, and the loss of a process while its tool runs. */
import { unknownOutcome } from '@verbatim/core'
import type { ToolFault } from '../prompt.ts'
import type { FaultPlan } from '../plan/plan.ts'
import { allComplete, allContinued, merge, runSketch, sketchPlan, withFound } from './scenario.ts'
import type { Expectation, Outcome, Scenario } from './scenario.ts'
import type { World } from '../world/world.ts'

export const toolFaults: readonly Scenario[] = [
  {
    name: 'tools',
    covers: 'F23',
    what: 'tools that throw, are late or return too much: the answer goes on',
    async run(world, seed) {
      const outcomes: Outcome[] = []
      for (const fault of ['tool-throws', 'tool-late', 'tool-huge'] as const)
        outcomes.push(await useTool(world, seed, { fault, expected: allComplete }))
      return merge(outcomes)
    },
  },
  {
    name: 'tool-lost',
    covers: 'F23 F1',
    what: 'SIGKILL while a tool runs: the continuation does not run the tool again',
    async run(world, seed) {
      const faults: FaultPlan[] = [{ atMs: 0, kind: 'server-kill', server: 0, backAfterMs: 100 }]
      return await useTool(world, seed, { fault: 'tool-lost', faults, expected: allContinued })
    },
  },
]

interface ToolCase {
  readonly fault: ToolFault
  readonly faults?: readonly FaultPlan[]
  readonly expected: Expectation
}

async function useTool(world: World, seed: number, { fault, faults = [], expected }: ToolCase): Promise<Outcome> {
  const plan = sketchPlan(`tools/${fault}`, seed, {
    // Leases that outlive the scenario, so that a run is lost only while its tool runs.
    profile: 'patient',
    sessions: 2,
    turn: { agentId: fault === 'tool-lost' ? 'slow-tooling' : 'tooling' },
    prompt: { fault, tokens: 20, paceMs: 5 },
    faultsFrom: 'tools',
    faults,
  })
  const outcome = await runSketch(world, plan, expected)
  const prompts = plan.sessions.flatMap(({ turns }) => turns.map(({ prompt }) => prompt))
  const found = await Promise.all(prompts.map(async ({ runId }) => await checkCalls(world, runId, fault)))
  return withFound(outcome, found.flat(), new Map([...outcome.injected, [fault, prompts.length]]))
}

/** The tool ran once; if it was lost, its result says that the outcome is unknown. */
async function checkCalls(world: World, runId: string, fault: ToolFault): Promise<string[]> {
  const found: string[] = []
  const calls = await world.db.collection('tool_calls').find({ run: runId }).toArray()
  if (calls.length !== 1) found.push(`run ${runId}: its tool ran ${calls.length} times`)
  const lost = await world.db.collection('messages').countDocuments({
    runId: calls[0]?.['by'] ?? runId,
    content: { $elemMatch: { type: 'tool_result', content: unknownOutcome } },
  })
  if (lost !== (fault === 'tool-lost' ? 1 : 0)) found.push(`run ${runId}: ${lost} of its calls have an unknown outcome`)
  return found
}
