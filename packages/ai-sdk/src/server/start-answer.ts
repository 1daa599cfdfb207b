/** POST: the user's new message starts a run, or the newest answer is made again. */
import { errorOf } from '@verbatim/core'
import type { MessageId, Run, RunId, VerbatimError, WhenBusy } from '@verbatim/core'
import type { EndpointCall } from '@verbatim/api'
import { findRun, findSession, firstRunOf, orMissing } from './answer-run.ts'
import { deriveId } from './derive-id.ts'
import { invalid, readIdempotencyKey, readRunId } from './read-request.ts'
import type { ChatRequest } from './read-request.ts'
import { toPrompt } from './to-prompt.ts'

/** What a request asks for. The answer names the run that makes it. */
export async function startAnswer(call: EndpointCall, request: ChatRequest, whenBusy: WhenBusy): Promise<RunId> {
  if (request.trigger === 'regenerate-message') return await regenerate(call, request, whenBusy)
  if (request.messageId !== undefined) {
    throw invalid('messageId', 'messageId: a stored message cannot be changed; send a new one')
  }
  return await submit(call, request, whenBusy)
}

/** The same message of the same chat is the same run, however often it is sent. */
async function submit(call: EndpointCall, request: ChatRequest, whenBusy: WhenBusy): Promise<RunId> {
  const { id: sessionId, message: sent, agentId, input } = request
  const runId = readIdempotencyKey(call) ?? runIdOf(request)
  const message = await toPrompt(call, sent, sessionId)
  await call.engine.runs.start(call.owner, { sessionId, runId, message, agentId, input, whenBusy })
  return runId
}

function runIdOf({ id, message }: ChatRequest): RunId {
  return deriveId('run', id, message.id)
}

/**
 * Answers the newest prompt again. A prompt that never reached the server is sent now. Without an `Idempotency-Key` a repeated request is
 * another answer: nothing in it differs from a second wish.
 */
async function regenerate(call: EndpointCall, request: ChatRequest, whenBusy: WhenBusy): Promise<RunId> {
  const { engine, owner } = call
  const newRunId = readIdempotencyKey(call) ?? crypto.randomUUID()
  const repeated = await findRun(call, newRunId)
  if (repeated !== undefined) return repeated.id
  const promptId = await findPrompt(call, request)
  if (promptId === undefined) return await submit(call, request, whenBusy)
  const first = await stoppedRunOf(call, request, promptId)
  await engine.runs.retry(owner, { runId: first.id, newRunId })
  return newRunId
}

/** The stored message of the prompt: by the client's own id, or by the one it was loaded with. */
async function findPrompt(call: EndpointCall, request: ChatRequest): Promise<MessageId | undefined> {
  const { engine, owner } = call
  const { id: sessionId, message } = request
  const run = await findRun(call, runIdOf(request))
  if (run !== undefined) return run.userMessageId
  const messageId = readRunId(message.id)
  if (messageId === undefined) return undefined
  if ((await findSession(call, sessionId)) === undefined) return undefined
  return (await orMissing('MESSAGE_NOT_FOUND', engine.messages.get(owner, sessionId, messageId)))?.id
}

/**
 * The run that began the newest answer to the prompt, once it has ended.
 *
 * @throws VerbatimError `RUN_NOT_RETRYABLE` when the session has gone on, `SESSION_BUSY` when the run does not stop
 */
async function stoppedRunOf(call: EndpointCall, { id: sessionId }: ChatRequest, promptId: MessageId): Promise<Run> {
  const { engine, owner } = call
  const { activeRunId } = await engine.sessions.get(owner, sessionId)
  if (activeRunId !== null) {
    const first = await firstRunOf(call, activeRunId)
    if (first.userMessageId !== promptId) throw busyWith(activeRunId)
    const { finalSeq } = await engine.runs.cancel(owner, activeRunId)
    if (finalSeq === null) throw busyWith(activeRunId)
    return first
  }
  const { items } = await engine.messages.list(owner, sessionId, { order: 'newest', limit: 1 })
  const newestRunId = items[0]?.runId ?? undefined
  if (newestRunId === undefined) throw errorOf('RUN_NOT_RETRYABLE')
  const first = await firstRunOf(call, newestRunId)
  if (first.userMessageId !== promptId) throw errorOf('RUN_NOT_RETRYABLE')
  return first
}

function busyWith(activeRunId: RunId): VerbatimError {
  return errorOf('SESSION_BUSY', { data: { activeRunId } })
}
