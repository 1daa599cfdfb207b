/** Did a run say what its prompt asks for, and end as it may? */
import { textOf, textOfEvent } from '@verbatim/core'
import { parseEvents } from '../clients/history.ts'
import type { Evidence, RunEvidence } from '../plan/evidence.ts'
import { wasAdmittedBefore } from '../plan/evidence.ts'
import { inlineAgentId, isContinued, mayInterrupt, touchesDatabase } from '../plan/plan.ts'
import type { Plan } from '../plan/plan.ts'
import {
  expectedText,
  inputFor,
  modelCallsOf,
  scriptLeft,
  scriptOf,
  tokensBeforeFault,
  tokensPerProgress,
} from '../prompt.ts'
import type { ScriptProgress } from '../prompt.ts'
import { hasStarted } from './parts.ts'
import type { Part } from './parts.ts'
import type { Stored } from './read-storage.ts'

/** The engine's default budget of continuations. */
const maxContinuations = 3

export function checkContent({ plan, runs, wasSlow }: Evidence, part: Part, storage: Stored): string[] {
  const { asked, answer } = part
  const { prompt, whenBusy, agentId } = asked.turn
  const expected = expectedText(prompt)
  const text = part.said + textOf(answer.content)
  const found: string[] = [...checkProgress(part)]
  if (!expected.startsWith(text)) found.push(`the text is not the expected one: ${difference(text, expected)}`)
  if (answer.continuedBy !== null && !isContinued(agentId)) found.push('continued against the policy of its agent')
  const waited = part.stored.events[0]?.startsWith('{"type":"run_queued"') === true
  if (waited && (whenBusy === 'reject' || part.at > 0)) found.push('queued although its caller did not ask for that')
  const wasResumed = part.stored.events.some((event) => event.startsWith('{"type":"run_resumed"'))
  if (wasResumed && !mayInterrupt(plan) && !wasSlow) found.push('resumed without a reason')
  if (wasResumed && agentId === inlineAgentId) found.push('resumed in a process that does not have its agent')
  if (!hasStarted(part) && answer.status !== 'cancelled') found.push(`${answer.status} without a start`)
  switch (answer.status) {
    case 'completed':
      return [...found, ...checkCompleted(part, text, expected)]
    case 'cancelled':
      if (!asked.wasCancelSent && !runs.some((other) => mayHaveReplaced(other, asked, storage)))
        found.push('cancelled without a cancel and without a prompt that replaces it')
      return found
    case 'refused':
      return [...found, 'refused although the model answered']
    case 'failed':
      return [...found, ...checkFailure(plan, part)]
    case 'interrupted':
      if (!mayInterrupt(plan) && !wasSlow) found.push('interrupted without a reason')
      return [...found, ...checkInterrupted(part, text === expected)]
    case 'queued':
    case 'running':
      return [...found, 'the log has no end']
  }
}

/** Each progress is in the log once, in order, and after just what its agent had said before it. */
function checkProgress({ asked, answer, stored }: Part): string[] {
  if (inputFor(asked.turn.agentId, '') === undefined) return []
  const found: string[] = []
  let text = ''
  let count = 0
  for (const event of parseEvents(stored.events)) {
    text += textOfEvent(event)
    if (event.type !== 'data') continue
    const progress = event.data as unknown as ScriptProgress // the agent's own
    if (progress.count !== ++count) found.push(`progress ${progress.count} stands where ${count} is expected`)
    // Half a character waits for its other half.
    const ahead = progress.said - text.length
    if (ahead !== 0 && ahead !== 1)
      found.push(`progress ${count} stands after ${text.length} of ${progress.said} characters`)
  }
  const tokens = answer.metrics?.outputTokens
  if (answer.status === 'completed' && tokens !== undefined && count !== Math.floor(tokens / tokensPerProgress))
    found.push(`${count} times progress for ${tokens} tokens`)
  return found
}

function checkCompleted({ asked, answer: { metrics }, said }: Part, text: string, expected: string): string[] {
  const { prompt } = asked.turn
  const found: string[] = []
  if (isEmptyOfModel(asked)) found.push('completed although the model said nothing')
  if (text !== expected) found.push(`completed with ${text.length} of ${expected.length} characters`)
  if (prompt.fault === 'cut' || prompt.fault === 'error') found.push('completed although the provider broke off')
  if (metrics?.outputTokens !== scriptLeft(prompt, said).tokens.length)
    found.push(`counted ${metrics?.outputTokens ?? 'no'} output tokens`)
  if (metrics?.cycles !== modelCallsOf(prompt)) found.push(`counted ${metrics?.cycles ?? 'no'} model calls`)
  return found
}

/** A model that says nothing at all has not answered. */
function isEmptyOfModel({ turn: { agentId, prompt } }: RunEvidence): boolean {
  return agentId === 'claude' && prompt.tokens === 0
}

/** Another prompt of the session may have replaced this one, unless it certainly came before. */
function mayHaveReplaced(other: RunEvidence, run: RunEvidence, storage: Stored): boolean {
  return (
    other !== run &&
    other.session === run.session &&
    other.turn.whenBusy === 'replace' &&
    storage.runs.has(other.runId) &&
    !wasAdmittedBefore(other, run)
  )
}

/** A lost answer of an agent that continues is continued, unless it was whole or its budget is used up. */
function checkInterrupted({ asked, at, answer: { continuedBy, error, content } }: Part, isWhole: boolean): string[] {
  const kind = error?.data.kind
  if (asked.turn.agentId === inlineAgentId)
    return kind === 'inline_agent' ? [] : [`interrupted for ${kind ?? 'no reason'}`]
  if (!isContinued(asked.turn.agentId) || continuedBy !== null) return []
  if (kind === 'whole') return isWhole ? [] : ['counted as whole although it is not']
  if (kind === 'resumptions')
    return content.length === 0 ? [] : ['given up after resumptions although it had begun to answer']
  if (kind === 'continuations') return at === maxContinuations ? [] : [`given up after ${at} continuations`]
  return [`not continued: ${kind ?? 'without a reason'}`]
}

function checkFailure(plan: Plan, { asked, answer: { error, content } }: Part): string[] {
  const { prompt } = asked.turn
  if (error?.code === 'UNAVAILABLE' && touchesDatabase(plan)) return []
  if (isEmptyOfModel(asked) && error?.code === 'PROVIDER_ERROR' && error.data.kind === 'empty') return []
  if (error?.code !== 'PROVIDER_ERROR' || prompt.fault === 'none')
    return [`failed with ${error?.code}: ${error?.message}`]
  // The run keeps all that the provider said before it broke off, except half a character at the very end.
  const said = scriptOf(prompt).tokens.slice(0, tokensBeforeFault(prompt)).join('')
  const isShort = prompt.fault !== 'cut' && Math.abs(said.length - textOf(content).length) > 1
  return isShort ? ['lost what the provider had said'] : []
}

function difference(text: string, expected: string): string {
  let at = 0
  while (at < text.length && text[at] === expected[at]) at++
  const excerpt = (of: string) => JSON.stringify(of.slice(at - 10, at + 40))
  return `at ${at} it has ${excerpt(text)} where ${excerpt(expected)} is expected`
}
