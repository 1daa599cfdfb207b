import { VerbatimError } from '../contract/errors.ts'
import type { Agent } from '../ports/agent.ts'

/** The agents by their ids, in the order given. @throws VerbatimError `INVALID_CONFIGURATION` when there is none, or two share an id */
export function agentsById(agents: readonly Agent[]): ReadonlyMap<string, Agent> {
  if (agents.length === 0) throw new VerbatimError('INVALID_CONFIGURATION', 'agents: name at least one agent')
  const byId = new Map(agents.map((agent) => [agent.id, agent]))
  if (byId.size < agents.length) throw new VerbatimError('INVALID_CONFIGURATION', 'agents: two agents have the same id')
  return byId
}
