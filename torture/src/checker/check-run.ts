/** Did every reader see the same run, whole, and does the stored run agree with it? */
import { isDeepStrictEqual } from 'node:util'
import { isTerminalEvent, statusOfTerminal, textOf } from '@verbatim/core'
import type { Answer, RunEvent } from '@verbatim/core'
import { parseEvents } from '../clients/history.ts'
import type { History } from '../clients/history.ts'
import type { SdkHistory } from '../clients/sdk-reader.ts'
import type { RunEvidence } from '../plan/evidence.ts'
import { isAcked } from '../plan/evidence.ts'
import { inputFor, promptText } from '../prompt.ts'
import { hasStarted } from './parts.ts'
import type { Part } from './parts.ts'
import type { Stored, StoredRun } from './read-storage.ts'

/** The first difference and what stands there. */
export function difference(name: string, seen: readonly string[], log: readonly string[]): string[] {
  const at = seen.findIndex((event, index) => event !== log[index])
  if (at === -1) return []
  const excerpt = (events: readonly string[]) => (events[at] ?? '(nothing)').slice(0, 300)
  return [
    `${name}: at seq ${at + 1} of ${seen.length} it has ${excerpt(seen)} where the log of ${log.length} has ${excerpt(log)}`,
  ]
}

/** Every history is a prefix of the log, and the whole log when the server said that the run is over. */
export function checkHistory({ reader, violations, events, end }: History, log: readonly string[]): string[] {
  const found = [...violations.map((text) => `${reader}: ${text}`), ...difference(reader, events, log)]
  if (end === 'terminal' && events.length !== log.length)
    found.push(`${reader}: ended at ${events.length} of ${log.length}`)
  if (end === 'unfinished' && found.length === 0) found.push(`${reader}: never came to the end`)
  if (end === 'not_found' && log.length > 0 && events.length > 0)
    found.push(`${reader}: received "not found" in the middle of the run`)
  return found
}

/** What the real client made of an answer: each part, and the whole across the seams. */
export function checkSdkHistory(sdk: SdkHistory, parts: readonly Part[]): string[] {
  const found = sdk.parts.flatMap((history, at) => {
    const part = parts[at]
    if (part?.runId !== history.runId) return [`${sdk.reader}: followed ${history.runId}`]
    return checkHistory(history, part.stored.events)
  })
  if (sdk.refusedWith !== undefined) found.push(`${sdk.reader}: gave up with ${sdk.refusedWith}`)
  if (found.length > 0) return found
  if (sdk.parts.length !== parts.length)
    found.push(`${sdk.reader}: read ${sdk.parts.length} of ${parts.length} parts of the answer`)
  if (sdk.text !== parts.map(({ answer }) => textOf(answer.content)).join(''))
    found.push(`${sdk.reader}: its text is not the text of the message`)
  const last = parts.at(-1)
  if (last === undefined || last.answer.status === 'failed' || !hasStarted(last)) return found
  // A stream may end with a status that no stored message has: that is a difference as well.
  const brief = (of: Pick<Answer, 'content' | 'data' | 'status' | 'metrics'> | undefined) =>
    [of?.content, of?.data, of?.status, of?.metrics] as const
  if (!isDeepStrictEqual(brief(sdk.message), brief(last.answer)))
    found.push(`${sdk.reader}: its message is not the streamed one`)
  return found
}

/** One start, one end, nothing after the end. The log of a run that waited begins with `run_queued`. */
export function checkLog(log: readonly string[]): string[] {
  const events = parseEvents(log)
  const found: string[] = []
  const waited = events[0]?.type === 'run_queued'
  const first = events[waited ? 1 : 0]
  const wasDropped = waited && first?.type === 'run_cancelled'
  if (wasDropped && first.messageId !== null) found.push('a prompt that left the queue unstarted has an answer')
  if (!wasDropped && first?.type !== 'run_started') found.push(`the log begins with ${first?.type ?? 'nothing'}`)
  const count = (type: RunEvent['type']) => events.filter((event) => event.type === type).length
  if (count('run_started') > 1) found.push('the run started twice')
  if (count('run_queued') > 1) found.push('the run was queued twice')
  // A run is resumed only before its answer has begun, and at most three times.
  const resumptions = events.filter((event) => event.type === 'run_resumed')
  const start = waited ? 2 : 1
  if (
    resumptions.length > 3 ||
    resumptions.some((event, at) => event.attempt !== at + 1 || event !== events[start + at])
  )
    found.push('the run was resumed in the middle of its answer, or too often')
  // Recovery drives a run that has only begun: its `run_resumed` events stand between the beginning and the answer.
  const startedAt = events.findIndex(({ type }) => type === 'run_started')
  for (const [at, event] of events.entries())
    if (event.type === 'run_resumed' && (at !== startedAt + event.attempt || startedAt === -1))
      found.push(`the resumption ${event.attempt} stands at ${at + 1}`)
  const terminals = events.filter(isTerminalEvent).length
  if (terminals !== 1) found.push(`${terminals} terminal events`)
  const last = events.at(-1)
  if (last !== undefined && !isTerminalEvent(last)) found.push(`the log ends with ${last.type} at ${log.length}`)
  return found
}

/** The stored run and message agree with the log and with what servers answered about the run. */
export function checkStored(part: Part, storage: Stored): string[] {
  const { asked, at, runId, answer, stored } = part
  const { run, events } = stored
  const found: string[] = []
  if (run['status'] !== answer.status) found.push(`stored as ${run['status']}, streamed as ${answer.status}`)
  const [last] = parseEvents(events.slice(-1)).filter(isTerminalEvent)
  if (last === undefined || statusOfTerminal(last) !== answer.status) found.push(`the log ends with ${last?.type}`)
  if (run['lastSeq'] !== events.length) found.push(`stored with lastSeq ${run['lastSeq']} of ${events.length}`)
  if (!isDeepStrictEqual(run['metrics'], answer.metrics)) found.push('its metrics are not those of the terminal event')
  // Callers started the first part alone, so servers answered about no other.
  if (at === 0) found.push(...checkAnswers(asked, stored))
  const messages = storage.sessions.get(asked.session.sessionId)?.messages ?? []
  const message = messages.find((one) => one['runId'] === runId && one['role'] === 'assistant')
  if (!isDeepStrictEqual(message?.['content'] ?? [], answer.content)) found.push('its message is not the streamed one')
  if (!isDeepStrictEqual(message?.['data'] ?? [], answer.data))
    found.push('its message keeps other data than the newest')
  const prompt = messages.find((one) => one['id'] === run['userMessageId'])
  const input = inputFor(asked.turn.agentId, promptText(asked.turn.prompt))
  if (prompt !== undefined && !isDeepStrictEqual(prompt['input'], input))
    found.push('its prompt is stored with another input')
  if (hasStarted(part) && !isDeepStrictEqual(message?.['metrics'], answer.metrics))
    found.push("the message's metrics are not the run's")
  return found
}

/** What servers answered about a run agrees with what is stored. */
function checkAnswers({ acks, cancels }: RunEvidence, { run, events }: StoredRun): string[] {
  const found: string[] = []
  for (const ack of acks)
    if (ack.messageId !== run['messageId'] || ack.userMessageId !== run['userMessageId'] || ack.id !== run['id'])
      found.push('a start was answered with another run')
  for (const { status, finalSeq } of cancels) {
    const isEnd = status !== 'running' && status !== 'queued'
    if (isEnd && status !== run['status'])
      found.push(`a cancel was answered ${status}, and the run is ${run['status']}`)
    if (finalSeq !== null && finalSeq !== events.length)
      found.push(`a cancel was answered with seq ${finalSeq}, and the log has ${events.length}`)
  }
  return found
}

/** A run that is not stored: no server may have confirmed it, and no reader may have seen it. */
export function checkAbsentRun(evidence: RunEvidence): string[] {
  const found: string[] = []
  if (isAcked(evidence)) found.push('a start was confirmed, and the run is not stored')
  for (const history of [...evidence.histories, ...evidence.sdkHistories.flatMap(({ parts }) => parts)])
    if (history.events.length > 0) found.push(`${history.reader}: saw a run that is not stored`)
  for (const { reader, chunks } of evidence.chunkHistories)
    if (chunks.length > 0) found.push(`${reader}: saw a run that is not stored`)
  return found
}
