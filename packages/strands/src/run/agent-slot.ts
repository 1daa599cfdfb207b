/**
 * The agent of a run. A factory makes one for each; an agent that is given itself serves one run at a time and begins each as it was
 * before the first, so that nothing of one user's run is there in another's.
 */
import type { Agent, Snapshot } from '@strands-agents/sdk'
import { VerbatimError } from '@verbatim/core'
import type { AgentRequest } from '@verbatim/core/server'

/** Makes the agent of one run: of who asks, in which session. */
export type StrandsFactory<TRequest = AgentRequest> = (request: TRequest) => Agent | Promise<Agent>

/** An agent that one run has until it calls `release`. */
interface TakenAgent {
  readonly agent: Agent
  readonly release: () => void
}

export type TakeAgent = (request: AgentRequest) => Promise<TakenAgent>

export function openAgents(source: Agent | StrandsFactory): TakeAgent {
  return typeof source === 'function' ? (request) => takeNew(source, request) : openShared(source)
}

async function takeNew(make: StrandsFactory, request: AgentRequest): Promise<TakenAgent> {
  const agent = await make(request)
  requireOwnHistory(agent)
  if (agent.isInvoking) throw invalid('the factory must make a new agent for each run; this one is at work')
  return { agent, release: () => {} }
}

function openShared(agent: Agent): TakeAgent {
  requireOwnHistory(agent)
  let last: Promise<void> = Promise.resolve()
  let first: Snapshot | undefined
  return async () => {
    const before = last
    const { promise, resolve: release } = Promise.withResolvers<void>()
    last = promise
    await before
    try {
      // Plugins may set state when they begin, and that is a part of how the agent is before its first run.
      await agent.initialize()
      first ??= agent.takeSnapshot({ preset: 'session' })
      agent.loadSnapshot(first)
      return { agent, release }
    } catch (error) {
      release()
      throw error
    }
  }
}

/** The history of a run is the session's. A second one would be stored beside it, and restored over it. */
function requireOwnHistory(agent: Agent): void {
  if (agent.sessionManager !== undefined) {
    throw invalid('take the sessionManager out of the agent; the session keeps its messages')
  }
}

function invalid(reason: string): VerbatimError {
  return new VerbatimError('INVALID_CONFIGURATION', `strands: ${reason}`)
}
