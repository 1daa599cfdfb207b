import type { AgentRequest } from '../ports/agent.ts'

/** A request for an agent that is tested without an engine. What `given` leaves out is of the user `ada` and an empty session. */
export function agentRequest(given: Partial<AgentRequest> = {}): AgentRequest {
  const { sessionId = 'session-1' } = given
  return {
    runId: crypto.randomUUID(),
    sessionId,
    principal: { userId: 'ada', tenantId: 'default' },
    session: { id: sessionId, title: null },
    messages: [],
    emit: () => Promise.resolve(),
    ...given,
  }
}
