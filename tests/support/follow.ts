/** Reading a run to its end, with what every reader may rely on checked on the way. */
import { emptyAnswer, lastSeqOf, ownerOf, reduceEvents, toCursor } from '@verbatim/core'
import type { Answer, EventBatch, JsonValue, Owner, RunEvent } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { expect } from 'vitest'

export const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
export const eve = ownerOf({ userId: 'eve', tenantId: 'default', scopes: [] })

/** Long enough for a busy machine; a test that waits so long has failed. */
export const waitOptions = { timeout: 20_000, interval: 10 }

export interface FollowInput {
  readonly owner?: Owner
  readonly after?: number
  readonly onBatch?: (batch: EventBatch) => unknown
  readonly signal?: AbortSignal
}

/** Every event past `after`; fails when one is missing, doubled or out of order. */
export async function followAll(engine: Engine, runId: string, input: FollowInput = {}): Promise<RunEvent[]> {
  const { owner = ada, after = 0, onBatch, signal = AbortSignal.timeout(25_000) } = input
  const events: RunEvent[] = []
  for await (const batch of engine.runs.follow(owner, runId, { after: toCursor(runId, after), signal })) {
    expect(batch.firstSeq).toBe(after + events.length + 1)
    events.push(...batch.events)
    await onBatch?.(batch)
  }
  return events
}

/** At most `count` batches past `after`; then the follower goes away. Answers the seq it has reached. */
export async function followBatches(
  engine: Engine,
  runId: string,
  { after, count }: { after: number; count: number },
): Promise<{ events: RunEvent[]; seq: number }> {
  const events: RunEvent[] = []
  let seq = after
  let taken = 0
  if (count === 0) return { events, seq }
  for await (const batch of engine.runs.follow(ada, runId, {
    after: toCursor(runId, after),
    signal: AbortSignal.timeout(25_000),
  })) {
    expect(batch.firstSeq).toBe(seq + 1)
    events.push(...batch.events)
    seq = lastSeqOf(batch)
    if (++taken === count) break
  }
  return { events, seq }
}

export function answerFrom(events: readonly RunEvent[]): Answer {
  const [first] = events
  return first === undefined ? emptyAnswer : reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] })
}

/** Starts a run, in `session-1` of Ada by default; returns its id. */
export async function startRun(
  engine: Engine,
  input: {
    runId?: string
    sessionId?: string
    message?: string
    owner?: Owner
    agentId?: string
    input?: JsonValue
  } = {},
): Promise<string> {
  const { owner = ada, runId = crypto.randomUUID(), sessionId = 'session-1', message = 'Say something' } = input
  const { agentId, input: given } = input
  await engine.runs.start(owner, { runId, sessionId, message, agentId, input: given })
  return runId
}

/** The stored answer of `runId`. */
export async function answerMessage(engine: Engine, runId: string, owner = ada) {
  const run = await engine.runs.get(owner, runId)
  return await engine.messages.get(owner, run.sessionId, run.messageId)
}
