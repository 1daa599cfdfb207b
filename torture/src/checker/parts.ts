/** An answer can come in parts: a run, and the runs that went on from it when its process was lost. */
import { emptyAnswer, reduceEvents, textOf } from '@verbatim/core'
import type { Answer, RunEvent } from '@verbatim/core'
import type { RunEvidence } from '../plan/evidence.ts'
import type { Stored, StoredRun } from './read-storage.ts'

export interface Part {
  /** What is known of the prompt, and of the first part. */
  readonly asked: RunEvidence
  /** 0 for the run that a caller started. */
  readonly at: number
  readonly runId: string
  readonly found: StoredRun
  readonly answer: Answer
  /** What the parts before it had said. */
  readonly said: string
  /** The run from which it goes on. */
  readonly continuationOf: string | null
}

/** The parts of an answer, as far as they are stored. */
export function partsOf(stored: Stored, asked: RunEvidence): Part[] {
  const parts: Part[] = []
  let said = ''
  let continuationOf: string | null = null
  for (let runId: string | null = asked.runId; runId !== null && parts.every((part) => part.runId !== runId);) {
    const found = stored.runs.get(runId)
    if (found === undefined) break
    const answer = answerOf(found.events)
    parts.push({ asked, at: parts.length, runId, found, answer, said, continuationOf })
    said += textOf(answer.content)
    continuationOf = runId
    runId = answer.continuedBy
  }
  return parts
}

/** Whether its turn came: a prompt that was cancelled while it waited was never asked, and leaves no messages. */
export function wasAsked({ found }: Part): boolean {
  return found.events.some((text) => (JSON.parse(text) as RunEvent).type === 'run_started')
}

/** The run as its log tells it. */
function answerOf(log: readonly string[]): Answer {
  if (log.length === 0) return emptyAnswer
  return reduceEvents(emptyAnswer, { firstSeq: 1, events: log.map((text) => JSON.parse(text) as RunEvent) })
}

/** What is wrong with how the parts are joined to one another. */
export function checkSeams(parts: readonly Part[]): string[] {
  const found: string[] = []
  for (const {
    runId,
    found: { run },
    answer,
    continuationOf,
    at,
    asked,
  } of parts) {
    const retryOf = at === 0 ? asked.retryOf : null
    if ((run['retryOf'] ?? null) !== retryOf) found.push(`${runId} is stored as a retry of ${run['retryOf']}`)
    if ((run['continuationOf'] ?? null) !== continuationOf)
      found.push(`${runId} is stored as going on from ${run['continuationOf']}`)
    if ((run['continuedBy'] ?? null) !== answer.continuedBy)
      found.push(`${runId} is stored as continued by ${run['continuedBy']}, and its log says ${answer.continuedBy}`)
    if (answer.continuedBy !== null && at === parts.length - 1)
      found.push(`${runId} is said to be continued by ${answer.continuedBy}, which is not stored or goes round`)
  }
  return found
}
