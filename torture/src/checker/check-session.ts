/** Is a session's history whole, in order, and written by one run at a time? */
import { isDeepStrictEqual } from 'node:util'
import { continuationPrompt } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import type { Document } from 'mongodb'
import { wasAdmittedBefore } from '../plan/evidence.ts'
import type { RunEvidence } from '../plan/evidence.ts'
import { promptText } from '../prompt.ts'
import { wasAsked } from './parts.ts'
import type { Part } from './parts.ts'
import type { StoredSession } from './read-storage.ts'

/** @param parts of every answer of the session, in any order */
export function checkSession({ session, messages }: StoredSession, parts: readonly Part[]): string[] {
  const found: string[] = []
  const seqs = messages.map((message) => Number(message['seq']))
  if (seqs.some((seq, at) => seq !== at + 1)) found.push(`message seqs are ${seqs.join(',')}`)
  if (session['head'] !== messages.length) found.push(`the head is ${session['head']} of ${messages.length}`)
  if (session['activeRunId'] !== null) found.push('the session is still busy')
  const waiting = (session['queue'] ?? []) as unknown[]
  if (waiting.length > 0) found.push(`${waiting.length} prompts still wait`)
  messages.forEach((message, at) => found.push(...checkPlace(messages, message, at)))
  for (const part of parts) found.push(...checkMessagesOf(messages, part))
  found.push(...checkOrder(messages, parts))
  return found
}

/** Prompt and answer stand side by side: no run began before the one before it had ended. */
function checkPlace(messages: readonly Document[], message: Document, at: number): string[] {
  const before = messages[at - 1]
  const { role } = message
  const retryOf = message['retryOf'] ?? null
  // A retry answers the same prompt again: its answer stands right behind the one that went wrong.
  const expected = at === 0 || (before?.['role'] === 'assistant' && retryOf === null) ? 'user' : 'assistant'
  if (role !== expected) return [`message ${at + 1} is of the ${role}`]
  if (role === 'assistant' && before?.['runId'] !== (retryOf ?? message['runId']))
    return [`message ${at + 1} answers another prompt than the one before it`]
  const continuationOf = message['continuationOf'] ?? null
  // The rest of an answer stands right behind what was lost: nobody comes in between.
  return role === 'user' && continuationOf !== null && before?.['runId'] !== continuationOf
    ? [`message ${at + 1} does not go on from the one before it`]
    : []
}

function checkMessagesOf(messages: readonly Document[], part: Part): string[] {
  const { runId, asked, at, continuationOf } = part
  const ofRun = messages.filter((message) => message['runId'] === runId)
  const roles = ofRun.map((message) => message['role']).join(',')
  const isRetry = at === 0 && asked.retryOf !== null
  const expected = !wasAsked(part) ? '' : isRetry ? 'assistant' : 'user,assistant'
  if (roles !== expected) return [`run ${runId} has the messages "${roles}"`]
  const text = at === 0 ? promptText(asked.turn.prompt) : continuationPrompt
  const found: string[] = []
  if (isRetry && ofRun[0]?.['retryOf'] !== asked.retryOf) found.push(`the answer of ${runId} names no retried run`)
  if (ofRun.some((message) => (message['continuationOf'] ?? null) !== continuationOf))
    found.push(`the messages of ${runId} do not go on from ${continuationOf}`)
  if (ofRun[0]?.['role'] === 'user' && !isDeepStrictEqual(ofRun[0]?.['content'], [{ type: 'text', text }]))
    found.push(`the prompt of ${runId} is stored changed`)
  return found
}

/** Prompts are asked in the order in which they were admitted, as far as that order is known. */
function checkOrder(messages: readonly Document[], parts: readonly Part[]): string[] {
  const places = new Map<RunEvidence, number>()
  for (const { at, runId, asked } of parts) {
    const place = messages.findIndex((message) => message['runId'] === runId)
    if (at === 0 && place >= 0) places.set(asked, place)
  }
  return [...places].flatMap(([run, place]) =>
    [...places].flatMap(([other, otherPlace]) =>
      wasAdmittedBefore(run, other) && place > otherPlace
        ? [`${run.runId} was admitted before ${other.runId} and asked behind it`]
        : [],
    ),
  )
}

/** The API's history against MongoDB's. */
export function checkListed(listed: readonly Message[], messages: readonly Document[]): string[] {
  const brief = (of: readonly { id: string; seq: number; status: string; content: unknown; metrics: unknown }[]) =>
    of.map(({ id, seq, status, content, metrics }) => ({ id, seq, status, content, metrics }))
  return isDeepStrictEqual(brief(listed), brief(messages as never)) ? [] : ['messages.list is not what is stored']
}
