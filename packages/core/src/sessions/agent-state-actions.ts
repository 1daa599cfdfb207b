/** What agents keep of a session, as callers use it. */
import { requireState } from '../contract/agent-state.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { AgentStateActions } from '../engine/engine.ts'
import type { EngineContext } from '../runs/engine-context.ts'

export function createAgentStateActions({ ports: { agentStates } }: EngineContext): AgentStateActions {
  return {
    async read(owner, place) {
      requireState(place.name, null)
      return (await agentStates.read(owner, place)) ?? null
    },
    async write(owner, input) {
      requireState(input.name, input.state)
      if (!Number.isSafeInteger(input.expectedRevision) || input.expectedRevision < 0) {
        const message = 'expectedRevision: must be a whole number, 0 for no state'
        throw new VerbatimError('INVALID_INPUT', message, { data: { field: 'expectedRevision' } })
      }
      return await agentStates.write(owner, input)
    },
  }
}
