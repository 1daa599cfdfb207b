/** Is a session's list of messages whole, in order, and written by one run at a time? */
import { isDeepStrictEqual } from 'node:util'
import { continuationPrompt, toPromptBlocks } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import type { Document } from 'mongodb'
import { wasAdmittedBefore } from '../plan/evidence.ts'
import { promptInput } from '../prompt.ts'
import { hasStarted } from './parts.ts'
import type { Part } from './parts.ts'
import type { StoredSession } from './read-storage.ts'

/** @param parts of every answer of the session, in any order */
export function checkSession({ session, messages }: StoredSession, parts: readonly Part[]): string[] {
  const found: string[] = []
  const seqs = messages.map((message) => Number(message['seq']))
  if (seqs.some((seq, at) => seq !== at + 1)) found.push(`message seqs are ${seqs.join(',')}`)
  if (session['head'] !== messages.length) found.push(`the head is ${session['head']} of ${messages.length}`)
  if (session['activeRunId'] !== null) found.push('the session is still busy')
  const { length } = (session['queue'] ?? []) as unknown[]
  if (length > 0) found.push(`${length} prompts still wait`)
  if (parts.length === 0) found.push('no prompt of the session is stored')
  return [
    ...found,
    ...messages.flatMap((message, at) => checkPlace(messages[at - 1], message)),
    ...parts.flatMap((part) => checkMessagesOf(messages, part)),
    ...checkOrder(messages, parts),
  ]
}

/** Prompt and answer stand side by side: no run starts before the one before it has ended. */
function checkPlace(before: Document | undefined, message: Document): string[] {
  const { role } = message
  const name = `message ${message['seq']}`
  const retryOf = message['retryOf'] ?? null
  // A retry answers the same prompt again: its answer stands directly after the failed one.
  const expected = before === undefined || (before['role'] === 'assistant' && retryOf === null) ? 'user' : 'assistant'
  if (role !== expected) return [`${name} has the role ${role}`]
  if (role === 'assistant' && before?.['runId'] !== (retryOf ?? message['runId']))
    return [`${name} answers another prompt than the one before it`]
  const continuationOf = message['continuationOf'] ?? null
  // A continuation stands directly after the part that was lost.
  return role === 'user' && continuationOf !== null && before?.['runId'] !== continuationOf
    ? [`${name} does not continue the one before it`]
    : []
}

function checkMessagesOf(messages: readonly Document[], part: Part): string[] {
  const { runId, asked, at, continuationOf } = part
  const ofRun = messages.filter((message) => message['runId'] === runId)
  const roles = ofRun.map((message) => message['role']).join(',')
  const isRetry = at === 0 && asked.retryOf !== null
  const expected = !hasStarted(part) ? '' : isRetry ? 'assistant' : 'user,assistant'
  if (roles !== expected) return [`run ${runId} has the messages "${roles}"`]
  const sent = toPromptBlocks(at === 0 ? promptInput(asked.turn.prompt) : continuationPrompt)
  const [first] = ofRun
  const found: string[] = []
  if (isRetry && first?.['retryOf'] !== asked.retryOf) found.push(`the answer of ${runId} names no retried run`)
  if (ofRun.some((message) => (message['continuationOf'] ?? null) !== continuationOf))
    found.push(`the messages of ${runId} do not continue ${continuationOf}`)
  if (first?.['role'] === 'user' && !isDeepStrictEqual(first['content'], sent))
    found.push(`the stored prompt of ${runId} differs from the sent one`)
  return found
}

/** Prompts start in the order of their admission, as far as the evidence tells that order. */
function checkOrder(messages: readonly Document[], parts: readonly Part[]): string[] {
  const started = parts
    .filter(({ at }) => at === 0)
    .map(({ runId, asked }) => ({ run: asked, place: messages.findIndex((message) => message['runId'] === runId) }))
    .filter(({ place }) => place >= 0)
  return started.flatMap((one) =>
    started
      .filter((other) => wasAdmittedBefore(one.run, other.run) && one.place > other.place)
      .map((other) => `${one.run.runId} was admitted before ${other.run.runId} and started after it`),
  )
}

/** The API lists what MongoDB holds. */
export function checkListed(listed: readonly Message[], messages: readonly Document[]): string[] {
  const brief = (of: readonly { id: string; seq: number; status: string; content: unknown; metrics: unknown }[]) =>
    of.map(({ id, seq, status, content, metrics }) => ({ id, seq, status, content, metrics }))
  return isDeepStrictEqual(brief(listed), brief(messages as never)) ? [] : ['messages.list is not what is stored']
}
