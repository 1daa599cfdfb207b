/** An answer can have parts: a run, and its continuations after its process was lost. */
import { emptyAnswer, reduceEvents, textOf } from '@verbatim/core'
import type { Answer } from '@verbatim/core'
import { parseEvents } from '../clients/history.ts'
import type { RunEvidence } from '../plan/evidence.ts'
import type { Stored, StoredRun } from './read-storage.ts'

export interface Part {
  /** The evidence of the prompt and of the first part. */
  readonly asked: RunEvidence
  /** 0 for the run that a caller started. */
  readonly at: number
  readonly runId: string
  readonly stored: StoredRun
  /** The answer as the stored log tells it. */
  readonly answer: Answer
  /** The text of the parts before it. */
  readonly said: string
  readonly continuationOf: string | null
}

/** The stored parts of an answer. */
export function partsOf(storage: Stored, asked: RunEvidence): Part[] {
  const parts: Part[] = []
  let said = ''
  let continuationOf: string | null = null
  for (let runId: string | null = asked.runId; runId !== null && parts.every((part) => part.runId !== runId);) {
    const stored = storage.runs.get(runId)
    if (stored === undefined) break
    const events = parseEvents(stored.events)
    const answer = events.length === 0 ? emptyAnswer : reduceEvents(emptyAnswer, { firstSeq: 1, events })
    parts.push({ asked, at: parts.length, runId, stored, answer, said, continuationOf })
    said += textOf(answer.content)
    continuationOf = runId
    runId = answer.continuedBy
  }
  return parts
}

/** A prompt that was cancelled in the queue never started, and leaves no messages. */
export function hasStarted({ stored }: Part): boolean {
  return parseEvents(stored.events.slice(0, 2)).some(({ type }) => type === 'run_started')
}

/** The links between the parts. */
export function checkSeams(parts: readonly Part[]): string[] {
  return parts.flatMap(({ runId, stored: { run }, answer: { continuedBy }, continuationOf, at, asked }) => {
    const found: string[] = []
    const expected = { retryOf: at === 0 ? asked.retryOf : null, continuationOf, continuedBy }
    for (const [link, id] of Object.entries(expected))
      if ((run[link] ?? null) !== id) found.push(`${runId} is stored with the ${link} ${run[link]} instead of ${id}`)
    if (continuedBy !== null && at === parts.length - 1)
      found.push(`${runId} names the continuation ${continuedBy}, which is not stored or closes a circle`)
    return found
  })
}
