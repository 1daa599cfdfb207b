/** Is what everybody saw of one run the same, whole, and what was expected? */
import { isDeepStrictEqual } from 'node:util'
import { isTerminalEvent, statusOfTerminal, textOf } from '@verbatim/core'
import type { Answer, CancelRunResult, ContentBlock, Run, RunEvent } from '@verbatim/core'
import type { History } from '../clients/history.ts'
import type { SdkHistory } from '../clients/sdk-reader.ts'
import type { RunEvidence } from '../plan/evidence.ts'
import { isAcked } from '../plan/evidence.ts'
import { wasAsked } from './parts.ts'
import type { Part } from './parts.ts'

/** Where the first difference is and what is there, for a person to read. */
export function difference(name: string, given: readonly string[], truth: readonly string[]): string | undefined {
  const at = given.findIndex((event, index) => event !== truth[index])
  if (at === -1) return undefined
  const excerpt = (events: readonly string[]) => (events[at] ?? '(nothing)').slice(0, 300)
  return `${name}: at seq ${at + 1} of ${given.length} it has ${excerpt(given)} where the log of ${truth.length} has ${excerpt(truth)}`
}

/** Every history is a prefix of the log, and the whole of it when its reader was told that the run is over. */
export function checkHistory(history: History, log: readonly string[]): string[] {
  const found = history.violations.map((text) => `${history.reader}: ${text}`)
  const different = difference(history.reader, history.events, log)
  if (different !== undefined) found.push(different)
  if (history.end === 'terminal' && history.events.length !== log.length)
    found.push(`${history.reader}: ended at ${history.events.length} of ${log.length}`)
  if (history.end === 'unfinished' && found.length === 0) found.push(`${history.reader}: never came to the end`)
  if (history.end === 'not_found' && log.length > 0 && history.events.length > 0)
    found.push(`${history.reader}: was told in mid-run that there is no run`)
  return found
}

/** What the real client made of an answer: each part, and the whole over their seams. */
export function checkSdkHistory(sdk: SdkHistory, parts: readonly Part[]): string[] {
  const found = sdk.parts.flatMap((history, at) => {
    const part = parts[at]
    if (part === undefined || part.runId !== history.runId) return [`${sdk.reader}: followed ${history.runId}`]
    return checkHistory(history, part.found.events)
  })
  if (sdk.refusedWith !== undefined) found.push(`${sdk.reader}: gave up with ${sdk.refusedWith}`)
  if (found.length > 0) return found
  if (sdk.parts.length !== parts.length)
    found.push(`${sdk.reader}: read ${sdk.parts.length} of ${parts.length} parts of the answer`)
  if (sdk.text !== parts.map(({ answer }) => textOf(answer.content)).join(''))
    found.push(`${sdk.reader}: its text is not the message's`)
  const last = parts.at(-1)
  if (last === undefined || last.answer.status === 'failed' || !wasAsked(last)) return found
  const brief = (of: Pick<Answer, 'content' | 'status' | 'metrics'> | undefined) => {
    return { content: of?.content, status: of?.status, metrics: of?.metrics }
  }
  // An answer's status may be one that no stored message has; then they differ, which is to be told.
  if (!isDeepStrictEqual(brief(sdk.message), brief(last.answer)))
    found.push(`${sdk.reader}: its message is not what was streamed`)
  return found
}

/** One beginning, one end, nothing behind it. A run that had to wait begins with `run_queued`. */
export function checkLog(log: readonly string[]): string[] {
  const events = log.map((text) => JSON.parse(text) as RunEvent)
  const found: string[] = []
  const waited = events[0]?.type === 'run_queued'
  const second = events[waited ? 1 : 0]
  const wasDropped = waited && second?.type === 'run_cancelled'
  if (wasDropped && second.messageId !== null) found.push('a prompt that was never asked has an answer')
  if (!wasDropped && second?.type !== 'run_started') found.push(`the log begins with ${second?.type ?? 'nothing'}`)
  const count = (type: RunEvent['type']) => events.filter((event) => event.type === type).length
  if (count('run_started') > 1) found.push('the run started twice')
  if (count('run_queued') > 1) found.push('the run was queued twice')
  const terminals = events.filter(isTerminalEvent)
  if (terminals.length !== 1) found.push(`${terminals.length} terminal events`)
  const last = events.at(-1)
  if (last !== undefined && !isTerminalEvent(last)) found.push(`the log ends with ${last.type} at ${log.length}`)
  return found
}

/** What callers were told of a run. */
export interface Told {
  readonly acks: readonly Run[]
  readonly cancels: readonly CancelRunResult[]
}

/** The stored run against its log and against what callers were told. */
export function checkStoredRun({ found: { run, events: log }, answer }: Part, { acks, cancels }: Told): string[] {
  const found: string[] = []
  if (run['status'] !== answer.status) found.push(`stored as ${run['status']}, streamed as ${answer.status}`)
  if (run['lastSeq'] !== log.length) found.push(`stored with lastSeq ${run['lastSeq']} of ${log.length}`)
  if (!isDeepStrictEqual(run['metrics'], answer.metrics)) found.push('its metrics are not those of the terminal event')
  for (const ack of acks)
    if (ack.messageId !== run['messageId'] || ack.userMessageId !== run['userMessageId'] || ack.id !== run['id'])
      found.push('a start was answered with another run')
  for (const told of cancels) {
    const hadEnd = told.status !== 'running' && told.status !== 'queued'
    if (hadEnd && told.status !== run['status'])
      found.push(`a cancel was told ${told.status}, and the run is ${run['status']}`)
    if (told.finalSeq !== null && told.finalSeq !== log.length)
      found.push(`a cancel was told seq ${told.finalSeq}, and the log has ${log.length}`)
  }
  return found
}

export function checkTerminal({ found: { events: log }, answer }: Part, content: readonly ContentBlock[]): string[] {
  const last = JSON.parse(log.at(-1) ?? 'null') as RunEvent | null
  if (last === null || !isTerminalEvent(last)) return ['no terminal event']
  return statusOfTerminal(last) === answer.status && isDeepStrictEqual(content, answer.content)
    ? []
    : ['the message is not what was streamed']
}

/** A run that is not stored: nobody may have been told of it. */
export function checkAbsentRun(evidence: RunEvidence): string[] {
  const found: string[] = []
  if (isAcked(evidence)) found.push('a start was confirmed, and the run is not stored')
  for (const history of [...evidence.histories, ...evidence.sdkHistories.flatMap(({ parts }) => parts)])
    if (history.events.length > 0) found.push(`${history.reader}: saw a run that is not stored`)
  return found
}
