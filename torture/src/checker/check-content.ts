/** Did a run say what it was to say, and end as it may? */
import { textOf } from '@verbatim/core'
import type { Answer } from '@verbatim/core'
import type { Evidence, RunEvidence } from '../plan/evidence.ts'
import { wasAdmittedBefore } from '../plan/evidence.ts'
import { isContinued, mayInterrupt, touchesDatabase } from '../plan/plan.ts'
import type { Plan } from '../plan/plan.ts'
import { expectedText, modelCallsOf, scriptLeft, scriptOf, tokensBeforeFault } from '../prompt.ts'
import { wasAsked } from './parts.ts'
import type { Part } from './parts.ts'
import type { Stored } from './read-storage.ts'

/** Linked runs behind the first, by the engine's default budget. */
const maxContinuations = 3

export function checkContent({ plan, runs, wasSlow }: Evidence, part: Part, stored: Stored): string[] {
  const { asked, answer, said } = part
  const { prompt, whenBusy } = asked.turn
  const expected = expectedText(prompt)
  const text = textOf(answer.content)
  const found: string[] = []
  if (!expected.startsWith(said + text))
    found.push(`the text is not how the expected one goes on: ${differAt(said + text, expected)}`)
  if (answer.continuedBy !== null && !isContinued(asked.turn.agentId)) found.push('continued against its policy')
  const waited = part.found.events[0]?.startsWith('{"type":"run_queued"') === true
  if (waited && (whenBusy === 'reject' || part.at > 0)) found.push('queued although nobody asked for that')
  if (!wasAsked(part) && answer.status !== 'cancelled') found.push(`${answer.status} without having been asked`)
  switch (answer.status) {
    case 'completed':
      found.push(...checkCompleted(part, text, expected))
      break
    case 'cancelled':
      if (!asked.wasCancelSent && !runs.some((other) => mayHaveReplaced(other, asked, stored)))
        found.push('cancelled by nobody')
      break
    case 'failed':
      found.push(...checkFailure(plan, asked, { answer, text }))
      break
    case 'interrupted':
      if (!mayInterrupt(plan) && !wasSlow) found.push('interrupted without a reason')
      found.push(...checkInterrupted(part, text, expected))
      break
    case 'queued':
    case 'running':
      found.push('the log has no end')
  }
  return found
}

function checkCompleted({ asked: { turn }, answer: { metrics }, said }: Part, text: string, expected: string) {
  const { prompt } = turn
  const found: string[] = []
  if (said + text !== expected) found.push(`completed with ${(said + text).length} of ${expected.length} characters`)
  if (prompt.fault === 'cut' || prompt.fault === 'error') found.push('completed although the provider broke off')
  if (metrics?.outputTokens !== scriptLeft(prompt, said).tokens.length)
    found.push(`counted ${metrics?.outputTokens ?? 'no'} output tokens`)
  if (metrics?.cycles !== modelCallsOf(prompt)) found.push(`counted ${metrics?.cycles ?? 'no'} model calls`)
  return found
}

/** Another prompt of the session that may have put itself in this one's place: it did not certainly come before. */
function mayHaveReplaced(other: RunEvidence, run: RunEvidence, stored: Stored): boolean {
  return (
    other !== run &&
    other.session === run.session &&
    other.turn.whenBusy === 'replace' &&
    stored.runs.has(other.runId) &&
    !wasAdmittedBefore(other, run)
  )
}

/** A lost answer whose agent says "continue" is continued, unless it was whole or its budget was used up. */
function checkInterrupted({ asked, at, answer, said }: Part, text: string, expected: string): string[] {
  if (!isContinued(asked.turn.agentId) || answer.continuedBy !== null) return []
  const kind = answer.error?.data.kind
  if (kind === 'whole') return said + text === expected ? [] : ['taken for whole when it was not']
  if (kind === 'continuations') return at === maxContinuations ? [] : [`given up behind ${at} continuations`]
  return [`not continued: ${kind ?? 'for no reason'}`]
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
