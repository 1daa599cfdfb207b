/** F23: what tools do wrong, and what becomes of them when their process is lost. */
import { unknownOutcome } from '@verbatim/core'
import type { ToolFault } from '../prompt.ts'
import type { FaultPlan } from '../plan/plan.ts'
import { allComplete, allContinued, merge, runSketch, sketchPlan } from './scenario.ts'
import type { Expectation, Outcome, Scenario } from './scenario.ts'
import type { World } from '../world/world.ts'

export const toolFaults: readonly Scenario[] = [
  {
    name: 'tools',
    covers: 'F23',
    what: 'tools that throw, come too late or answer too much: the answer goes on behind them',
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
    what: 'SIGKILL while a tool runs: the answer is continued, the model asks again, and the tool is not run twice',
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
    // Leases that do not lapse by themselves: what is lost is lost while its tool runs.
    profile: 'patient',
    sessions: 2,
    turn: { agentId: fault === 'tool-lost' ? 'slow-tooling' : 'tooling' },
    prompt: { fault, tokens: 20, paceMs: 5 },
    faultsFrom: 'tools',
    faults,
  })
  const outcome = await runSketch(world, plan, expected)
  const violations = [...outcome.verdict.violations]
  for (const { turns } of plan.sessions)
    for (const { prompt } of turns) violations.push(...(await checkCalls(world, prompt.runId, fault)))
  const injected = new Map([...outcome.injected, [fault, plan.sessions.length]])
  return { injected, verdict: { ...outcome.verdict, violations } }
}

/** The tool ran once; where it was lost, the answer of the run that called it says so. */
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
