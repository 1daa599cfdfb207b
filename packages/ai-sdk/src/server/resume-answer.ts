/** GET: the answer that goes on, whole or from a chunk on. */
import type { RunId } from '@verbatim/core'
import type { EndpointAnswer, EndpointCall } from '@verbatim/api'
import type { FileOptions } from '../ui/file-part.ts'
import { findRun, findSession, streamedRunOf } from './answer-run.ts'
import { answerStream, emptyAnswerStream } from './answer-stream.ts'
import { readChatId, readRunId, readStartIndex } from './read-request.ts'

/**
 * 204 when nothing goes on, as `DefaultChatTransport` wants it. `WorkflowChatTransport` asks with a `startIndex` and takes 204 for a
 * failure: it receives the rest of the newest answer, to its `finish`.
 */
export async function resumeAnswer(call: EndpointCall, files: FileOptions): Promise<EndpointAnswer> {
  const startIndex = readStartIndex(call)
  const runId = await findAnswer(call, { isEndedToo: startIndex !== undefined })
  if (runId !== undefined) return answerStream(call, runId, { ...files, ...placeOf(startIndex) })
  return startIndex === undefined ? { status: 204 } : emptyAnswerStream()
}

/**
 * From the end (a negative index) the answer comes from its start all the same: no part of it is then cut in two. The header says where
 * that is, in the words of the transport.
 */
function placeOf(startIndex = 0): { after: number; headers?: Record<string, string> } {
  if (startIndex >= 0) return { after: startIndex }
  return { after: 0, headers: { 'x-workflow-stream-tail-index': String(-startIndex - 1) } }
}

/** The first run of the answer that the path names: the id of a chat, or of a run. */
async function findAnswer(call: EndpointCall, { isEndedToo }: { isEndedToo: boolean }): Promise<RunId | undefined> {
  const id = readChatId(call)
  const session = await findSession(call, id)
  if (session === undefined) {
    const named = readRunId(id)
    const run = named === undefined ? undefined : await findRun(call, named)
    return run === undefined || (run.lastSeq !== null && !isEndedToo) ? undefined : await streamedRunOf(call, run.id)
  }
  const runId = session.activeRunId ?? (isEndedToo ? await newestRunOf(call, id) : undefined)
  return runId === undefined ? undefined : await streamedRunOf(call, runId)
}

async function newestRunOf({ engine, owner }: EndpointCall, sessionId: string): Promise<RunId | undefined> {
  const { items } = await engine.messages.list(owner, sessionId, { order: 'newest', limit: 1 })
  return items[0]?.runId ?? undefined
}
