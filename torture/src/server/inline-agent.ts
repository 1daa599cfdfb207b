/** The engine as a program has it that passes an agent with a prompt: the id `inline` stands for an agent that is made for that run. */
import { agent } from '@verbatim/core/server'
import type { Engine, InlineAgentOption } from '@verbatim/core/server'
import { inlineAgentId } from '../plan/plan.ts'
import { seededAgent } from './seeded-agent.ts'

export function withInlineAgents(engine: Engine): Engine {
  const { runs } = engine
  return {
    ...engine,
    runs: {
      ...runs,
      start: async (owner, input) => await runs.start(owner, input, optionFor(input.agentId)),
      async retry(owner, input) {
        const { agentId } = await runs.get(owner, input.runId)
        return await runs.retry(owner, input, optionFor(agentId))
      },
    },
  }
}

/** A new one for each call, as such a program makes them. */
function optionFor(agentId: string | undefined): InlineAgentOption {
  return agentId === inlineAgentId ? { agent: agent({ ...seededAgent, id: inlineAgentId, onCrash: 'continue' }) } : {}
}
