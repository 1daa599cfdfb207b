/** Logs of made-up runs, as the engine would store them. */
import { emptyAnswer, isTerminalStatus, reduceEvents } from '@verbatim/core'
import type { Answer, EventBatch, Message, Run, RunEvent, RunMetrics, TerminalEvent } from '@verbatim/core'

export const sessionId = 'session-1'
export const runId = '0f8fad5b-d9cb-469f-a165-70867728950e'
const userMessageId = '7c9e6679-7425-40de-944b-e07fc1f90ae7'
export const messageId = 'b7e6f3a2-1111-4c1e-9c55-0d2f3f1f2a10'

export const metrics: RunMetrics = {
  latencyMs: 12,
  timeToFirstTokenMs: 3,
  inputTokens: 5,
  outputTokens: 7,
  totalTokens: 12,
  cacheReadInputTokens: 0,
  cacheWriteInputTokens: 0,
  cycles: 1,
  tools: [],
  model: 'test-model',
  stopReason: 'end_turn',
}

export interface LogOptions {
  readonly id?: string
  readonly end?: TerminalEvent | undefined
}

/** The events before the first text of a run with these ids: the run's beginning, and the model's. */
export function beginningOf(ids: { runId: string; userMessageId: string; messageId: string }): RunEvent[] {
  return [
    { type: 'run_started', ...ids, sessionId, agentId: 'default', startedAt: '2026-01-01T00:00:00.000Z' },
    { type: 'message_start', message: { model: 'test-model', usage: {} } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } },
  ]
}

/** A run's log that says `pieces`, a batch each, between its beginning and its end. */
export function logOf(pieces: readonly string[], { id = runId, end = completed() }: LogOptions = {}): EventBatch[] {
  const begin = beginningOf({ runId: id, userMessageId, messageId })
  const deltas = pieces.map((text): RunEvent[] => [
    { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } },
  ])
  const last: RunEvent[] = [{ type: 'content_block_stop', index: 0 }, { type: 'message_stop' }, end]
  return toBatches([begin.slice(0, 1), begin.slice(1), ...deltas, last])
}

export function completed(): TerminalEvent {
  return { type: 'run_completed', messageId, metrics }
}

function toBatches(groups: readonly (readonly RunEvent[])[]): EventBatch[] {
  let firstSeq = 1
  return groups.map((events) => {
    const batch = { firstSeq, events: [...events] }
    firstSeq += events.length
    return batch
  })
}

export function answerOf(log: readonly EventBatch[]): Answer {
  return log.reduce(reduceEvents, emptyAnswer)
}

export function eventsOfLog(log: readonly EventBatch[]): RunEvent[] {
  return log.flatMap((batch) => batch.events)
}

/** A run as the server tells it. */
export function runOf(id: unknown, more: Partial<Run> = {}): object {
  return {
    id,
    sessionId,
    agentId: 'default',
    status: 'running',
    userMessageId,
    messageId,
    lastSeq: null,
    error: null,
    metrics: null,
    createdAt: '2026-01-01T00:00:00.000Z',
    endedAt: null,
    ...more,
  }
}

/** The message that a run with this log stores. */
export function storedAnswer(log: readonly EventBatch[], seq = 2): Message {
  const answer = answerOf(log)
  return {
    id: messageId,
    sessionId,
    seq,
    role: 'assistant',
    content: [...answer.content],
    status: isTerminalStatus(answer.status) ? answer.status : 'interrupted',
    agentId: 'default',
    runId,
    continuationOf: null,
    retryOf: null,
    output: null,
    data: [],
    metrics: answer.metrics,
    createdAt: '2026-01-01T00:00:01.000Z',
  }
}
