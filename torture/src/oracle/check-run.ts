/** Is what everybody saw of one run the same, whole, and what was expected? */
import { isDeepStrictEqual } from 'node:util'
import { emptyAnswer, isTerminalEvent, reduceEvents, statusOfTerminal, textOf } from '@verbatim/core'
import type { Answer, ContentBlock, RunEvent, TerminalEvent } from '@verbatim/core'
import type { Journal } from '../clients/journal.ts'
import type { SdkJournal } from '../clients/sdk-reader.ts'
import type { RunEvidence } from '../plan/evidence.ts'
import { isAcked } from '../plan/evidence.ts'
import { mayInterrupt, touchesDatabase } from '../plan/plan.ts'
import type { Plan } from '../plan/plan.ts'
import { expectedText, tokensBeforeFault, scriptOf } from '../prompt.ts'
import type { StoredRun } from './read-storage.ts'

/** Where the first difference is and what is there, for a person to read. */
export function difference(name: string, given: readonly string[], truth: readonly string[]): string | undefined {
  const at = given.findIndex((event, index) => event !== truth[index])
  if (at === -1) return undefined
  const excerpt = (events: readonly string[]) => (events[at] ?? '(nothing)').slice(0, 300)
  return `${name}: at seq ${at + 1} of ${given.length} it has ${excerpt(given)} where the log of ${truth.length} has ${excerpt(truth)}`
}

/** Every journal is a prefix of the log, and the whole of it when its reader was told that the run is over. */
export function checkJournal(journal: Journal, log: readonly string[]): string[] {
  const found = journal.violations.map((text) => `${journal.reader}: ${text}`)
  const different = difference(journal.reader, journal.events, log)
  if (different !== undefined) found.push(different)
  if (journal.end === 'terminal' && journal.events.length !== log.length)
    found.push(`${journal.reader}: ended at ${journal.events.length} of ${log.length}`)
  if (journal.end === 'unfinished' && found.length === 0) found.push(`${journal.reader}: never came to the end`)
  if (journal.end === 'not_found' && log.length > 0 && journal.events.length > 0)
    found.push(`${journal.reader}: was told in mid-run that there is no run`)
  return found
}

export function checkSdkJournal(
  sdk: SdkJournal,
  { log, answer }: { log: readonly string[]; answer: Answer },
): string[] {
  const found = checkJournal(sdk.journal, log)
  if (sdk.refusedWith !== undefined) found.push(`${sdk.journal.reader}: gave up with ${sdk.refusedWith}`)
  const text = textOf(answer.content)
  if (found.length === 0 && sdk.text !== text) found.push(`${sdk.journal.reader}: its text is not the message's`)
  if (found.length === 0 && answer.status !== 'failed') {
    const { content, status, metrics } = sdk.message ?? {}
    if (
      !isDeepStrictEqual(
        { content, status, metrics },
        { content: answer.content, status: answer.status, metrics: answer.metrics },
      )
    )
      found.push(`${sdk.journal.reader}: its message is not what was streamed`)
  }
  return found
}

/** The run as the log tells it. */
export function answerOf(log: readonly string[]): Answer {
  if (log.length === 0) return emptyAnswer
  return reduceEvents(emptyAnswer, { firstSeq: 1, events: log.map((text) => JSON.parse(text) as RunEvent) })
}

export function checkLog(log: readonly string[]): string[] {
  const events = log.map((text) => JSON.parse(text) as RunEvent)
  const found: string[] = []
  if (events[0]?.type !== 'run_started') found.push(`the log begins with ${events[0]?.type ?? 'nothing'}`)
  if (events.filter((event) => event.type === 'run_started').length > 1) found.push('the run started twice')
  const terminals = events.filter(isTerminalEvent)
  if (terminals.length !== 1) found.push(`${terminals.length} terminal events`)
  const last = events.at(-1)
  if (last !== undefined && !isTerminalEvent(last)) found.push(`the log ends with ${last.type} at ${log.length}`)
  return found
}

/** What the run said against what it was to say. */
export function checkContent(plan: Plan, run: RunEvidence, answer: Answer): string[] {
  const { prompt } = run.turn
  const expected = expectedText(prompt)
  const text = textOf(answer.content)
  const found: string[] = []
  if (!expected.startsWith(text)) found.push(`the text is not how the expected one begins: ${differAt(text, expected)}`)
  const isBroken = prompt.fault === 'cut' || prompt.fault === 'error'
  switch (answer.status) {
    case 'completed':
      if (text !== expected) found.push(`completed with ${text.length} of ${expected.length} characters`)
      if (isBroken) found.push('completed although the provider broke off')
      if (
        answer.metrics?.outputTokens !== prompt.tokens &&
        answer.metrics?.outputTokens !== scriptOf(prompt).tokens.length
      )
        found.push(`counted ${answer.metrics?.outputTokens ?? 'no'} output tokens`)
      if (answer.metrics?.cycles !== 1) found.push(`counted ${answer.metrics?.cycles ?? 'no'} model calls`)
      break
    case 'cancelled':
      if (!run.wasCancelSent) found.push('cancelled by nobody')
      break
    case 'failed':
      found.push(...checkFailure(plan, run, { answer, text }))
      break
    case 'interrupted':
      if (!mayInterrupt(plan)) found.push('interrupted without a reason')
      break
    case 'queued':
    case 'running':
      found.push('the log has no end')
  }
  return found
}

function checkFailure(plan: Plan, { turn }: RunEvidence, { answer, text }: { answer: Answer; text: string }): string[] {
  const code = answer.error?.code ?? 'nothing'
  if (code === 'UNAVAILABLE' && touchesDatabase(plan)) return []
  if (code !== 'PROVIDER_ERROR' || turn.prompt.fault === 'none')
    return [`failed with ${code}: ${answer.error?.message}`]
  // All that the provider said before it broke off is kept, but for half a character at the very end.
  const said = scriptOf(turn.prompt).tokens.slice(0, tokensBeforeFault(turn.prompt)).join('')
  return turn.prompt.fault !== 'cut' && Math.abs(said.length - text.length) > 1
    ? ['lost what the provider had said']
    : []
}

function differAt(text: string, expected: string): string {
  let at = 0
  while (at < text.length && text[at] === expected[at]) at++
  return `at ${at}: ${JSON.stringify(text.slice(at - 10, at + 40))} for ${JSON.stringify(expected.slice(at - 10, at + 40))}`
}

/** The stored run against its log and against what callers were told. */
export function checkStoredRun(
  { run }: StoredRun,
  evidence: RunEvidence,
  { log, answer }: { log: readonly string[]; answer: Answer },
): string[] {
  const found: string[] = []
  if (run['status'] !== answer.status) found.push(`stored as ${run['status']}, streamed as ${answer.status}`)
  if (run['lastSeq'] !== log.length) found.push(`stored with lastSeq ${run['lastSeq']} of ${log.length}`)
  if (!isDeepStrictEqual(run['metrics'], answer.metrics)) found.push('its metrics are not those of the terminal event')
  for (const ack of evidence.acks)
    if (ack.messageId !== run['messageId'] || ack.userMessageId !== run['userMessageId'] || ack.id !== run['id'])
      found.push('a start was answered with another run')
  for (const told of evidence.cancels) {
    if (told.status !== 'running' && told.status !== run['status'])
      found.push(`a cancel was told ${told.status}, and the run is ${run['status']}`)
    if (told.finalSeq !== null && told.finalSeq !== log.length)
      found.push(`a cancel was told seq ${told.finalSeq}, and the log has ${log.length}`)
  }
  return found
}

export function checkTerminal(log: readonly string[], content: readonly ContentBlock[]): string[] {
  const last = JSON.parse(log.at(-1) ?? 'null') as TerminalEvent | null
  if (last === null || !isTerminalEvent(last)) return ['no terminal event']
  const answer = answerOf(log)
  return statusOfTerminal(last) === answer.status && isDeepStrictEqual(content, answer.content)
    ? []
    : ['the message is not what was streamed']
}

/** A run that is not stored: nobody may have been told of it. */
export function checkAbsentRun(evidence: RunEvidence): string[] {
  const found: string[] = []
  if (isAcked(evidence)) found.push('a start was confirmed, and the run is not stored')
  for (const journal of evidence.journals)
    if (journal.events.length > 0) found.push(`${journal.reader}: saw a run that is not stored`)
  return found
}
