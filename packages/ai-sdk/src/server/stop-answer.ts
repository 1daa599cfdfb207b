/** POST …/stop: cancels the run of a chat. `stop()` of `useChat` only closes the connection, and a run belongs to the server. */
import type { EndpointCall, EndpointResponse } from '@verbatim/api'
import { streamedRunOf } from './answer-run.ts'
import { readChatId, readStopRequest } from './read-request.ts'
import type { RequestLimits } from './read-request.ts'

/** What the guide of the AI SDK has such an endpoint answer. */
const stopped: EndpointResponse = { status: 200, json: { success: true } }

/**
 * The client's copy of the answer is not read: the server keeps the part that it has sent. A request that names another run comes too late,
 * and stops nothing.
 *
 * @throws VerbatimError `SESSION_NOT_FOUND`
 */
export async function stopAnswer(call: EndpointCall, limits: RequestLimits): Promise<EndpointResponse> {
  const { engine, owner } = call
  const sessionId = readChatId(call)
  const meant = await readStopRequest(call, limits)
  const { activeRunId } = await engine.sessions.get(owner, sessionId)
  if (activeRunId === null) return stopped
  if (meant !== undefined && meant !== activeRunId && meant !== (await streamedRunOf(call, activeRunId))) return stopped
  await engine.runs.cancel(owner, activeRunId)
  return stopped
}
