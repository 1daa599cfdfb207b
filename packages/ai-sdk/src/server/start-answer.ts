/** POST: the user's new message starts a run, or the newest answer is made again. */
import { errorOf } from '@verbatim/core'
import type { MessageId, Run, RunId, SessionId, VerbatimError, WhenBusy } from '@verbatim/core'
import type { EndpointCall } from '@verbatim/api'
import { findRun, findSession, firstRunOf, orMissing } from './answer-run.ts'
import { deriveId } from './derive-id.ts'
import { readIdempotencyKey, readRunId } from './read-request.ts'
import type { ChatRequest } from './read-request.ts'
import { toPrompt } from './to-prompt.ts'

/** What a request asks for. The answer names the run that makes it. */
export async function startAnswer(call: EndpointCall, request: ChatRequest, whenBusy: WhenBusy): Promise<RunId> {
  if (request.trigger === 'regenerate-message') return await regenerate(call, request, whenBusy)
  return request.messageId === undefined ? await submit(call, request, whenBusy) : await edit(call, request, whenBusy)
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
 * The message takes the place of the one that has its id, and of all after it. The same edit is the same run, however often it is sent. An
 * edit of a message that never reached the server is that message.
 */
async function edit(call: EndpointCall, request: ChatRequest, whenBusy: WhenBusy): Promise<RunId> {
  const { engine, owner } = call
  const { id: sessionId, message: sent, messageId = sent.id, agentId, input } = request
  const runs = await runsOfPrompt(call, { sessionId, messageId })
  const newest = runs.at(-1)
  if (newest === undefined) return await submit(call, request, whenBusy)
  const before = runs.at(-2)
  const idAfter = (run: RunId) => deriveId('edit', sessionId, sent.id, run, JSON.stringify(sent.parts))
  const editOf = before !== undefined && newest === idAfter(before) ? before : newest
  const runId = idAfter(editOf)
  const message = await toPrompt(call, { ...sent, id: runId }, sessionId)
  await engine.runs.start(owner, { sessionId, runId, message, agentId, input, editOf, whenBusy })
  return runId
}

/** How many of the newest messages may hold the edits of a prompt. */
const editWindow = 100

/**
 * The runs whose prompts have stood in one place of a chat: that of the message, and each edit of the one before. None when the message
 * never reached the server. A message has the client's own id, or the one that it was loaded with.
 */
async function runsOfPrompt(
  call: EndpointCall,
  { sessionId, messageId }: { sessionId: SessionId; messageId: string },
): Promise<readonly RunId[]> {
  const { engine, owner } = call
  const stored = readRunId(messageId)
  const run = await findRun(call, deriveId('run', sessionId, messageId))
  if ((run ?? stored) === undefined || (await findSession(call, sessionId)) === undefined) return []
  const first =
    run?.id ?? (await orMissing('MESSAGE_NOT_FOUND', engine.messages.get(owner, sessionId, stored ?? '')))?.runId
  if (first === undefined || first === null) return []
  const { items } = await engine.messages.list(owner, sessionId, { order: 'newest', limit: editWindow })
  const runs = [first]
  for (const { runId, editOf } of items.toReversed()) {
    if (editOf !== undefined && editOf === runs.at(-1) && runId !== null) runs.push(runId)
  }
  return runs
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
  const newest = (await runsOfPrompt(call, { sessionId: request.id, messageId: request.message.id })).at(-1)
  if (newest === undefined) return await submit(call, request, whenBusy)
  const { userMessageId: promptId } = await engine.runs.get(owner, newest)
  const first = await stoppedRunOf(call, request, promptId)
  await engine.runs.retry(owner, { runId: first.id, newRunId })
  return newRunId
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
