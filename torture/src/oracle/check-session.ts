/** Is a session's history whole, in order, and written by one run at a time? */
import { isDeepStrictEqual } from 'node:util'
import type { Message } from '@verbatim/core'
import type { Document } from 'mongodb'
import { promptText } from '../prompt.ts'
import type { RunEvidence } from '../plan/evidence.ts'
import type { Stored, StoredSession } from './read-storage.ts'

export function checkSession(
  { session, messages }: StoredSession,
  runs: readonly RunEvidence[],
  stored: Stored,
): string[] {
  const found: string[] = []
  const seqs = messages.map((message) => Number(message['seq']))
  if (seqs.some((seq, at) => seq !== at + 1)) found.push(`message seqs are ${seqs.join(',')}`)
  if (session['head'] !== messages.length) found.push(`the head is ${session['head']} of ${messages.length}`)
  if (session['activeRunId'] !== null) found.push('the session is still busy')
  messages.forEach((message, at) => found.push(...checkPlace(messages, message, at)))
  for (const run of runs) found.push(...checkMessagesOfRun(messages, run, stored))
  return found
}

/** Prompt and answer stand side by side: no run began before the one before it had ended. */
function checkPlace(messages: readonly Document[], message: Document, at: number): string[] {
  const role = at % 2 === 0 ? 'user' : 'assistant'
  if (message['role'] !== role) return [`message ${at + 1} is of the ${message['role']}`]
  if (role === 'assistant' && messages[at - 1]?.['runId'] !== message['runId'])
    return [`message ${at + 1} answers another prompt than the one before it`]
  return []
}

function checkMessagesOfRun(messages: readonly Document[], run: RunEvidence, stored: Stored): string[] {
  const ofRun = messages.filter((message) => message['runId'] === run.runId)
  const isStored = stored.runs.has(run.runId)
  const roles = ofRun.map((message) => message['role']).join(',')
  if (roles !== (isStored ? 'user,assistant' : '')) return [`run ${run.runId} has the messages "${roles}"`]
  const [user] = ofRun
  const prompt = [{ type: 'text', text: promptText(run.turn.prompt) }]
  return user === undefined || isDeepStrictEqual(user['content'], prompt)
    ? []
    : [`the prompt of ${run.runId} is stored changed`]
}

/** The API's history against MongoDB's. */
export function checkListed(listed: readonly Message[], messages: readonly Document[]): string[] {
  const brief = (of: readonly { id: string; seq: number; status: string; content: unknown; metrics: unknown }[]) =>
    of.map(({ id, seq, status, content, metrics }) => ({ id, seq, status, content, metrics }))
  return isDeepStrictEqual(brief(listed), brief(messages as never)) ? [] : ['messages.list is not what is stored']
}
