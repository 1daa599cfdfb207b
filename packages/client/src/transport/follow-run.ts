/**
 * A run's log, from a seq to its end, over any number of connections (promise P2).
 * In: a run and the seq to go on after. Out: every later batch once and in order, up to the terminal event.
 * Each attempt asks for what comes after the last batch taken; what arrives twice is dropped and what is missing is asked for again.
 */
import { batchAfter, lastSeqOf, terminalOf, toCursor, VerbatimError } from '@verbatim/core'
import type { EventBatch, RunId, SourceFollowOptions } from '@verbatim/core'
import type { Connection } from './connection.ts'
import { openStream } from './open-stream.ts'
import type { SseFrame } from './open-stream.ts'
import { createReconnect } from './reconnect.ts'
import type { Reconnect } from './reconnect.ts'
import { errorOfShape, isPassing, toVerbatimError } from './to-error.ts'
import type { Transformer } from './transformer.ts'

export interface FollowRequest extends SourceFollowOptions {
  readonly runId: RunId
}

/**
 * Follows a run. Returns after the terminal event, or when the server says that nothing comes after `after`.
 *
 * @throws VerbatimError when the server refuses for good, or after `retry.maxAttempts` failures in a row;
 * the signal's reason when it aborts
 */
export async function* followRun(
  connection: Connection,
  request: FollowRequest,
): AsyncGenerator<EventBatch, void, void> {
  const { signal } = request
  const reconnect = createReconnect(connection.retry)
  let seq = request.after
  request.onState?.('connecting')
  for (;;) {
    const starting = request.starting?.()
    try {
      for await (const batch of readBatches(connection, { ...request, after: seq }, reconnect)) {
        seq = lastSeqOf(batch)
        reconnect.progress()
        yield batch
      }
      return
    } catch (error) {
      signal.throwIfAborted()
      const failure = toVerbatimError(error)
      const passes = isPassing(failure) || (starting !== undefined && failure.code === 'RUN_NOT_FOUND')
      request.onState?.('reconnecting')
      await reconnect.afterFailure(failure, { signal, isPassing: passes, until: starting })
    }
  }
}

/**
 * What one connection brings. Returns after the terminal event, or when the server says that the log ends;
 * throws when the connection ends otherwise.
 */
async function* readBatches(
  connection: Connection,
  request: FollowRequest,
  reconnect: Reconnect,
): AsyncGenerator<EventBatch, void, void> {
  const { runId, signal } = request
  let { after } = request
  const frames = openStream(connection, {
    path: connection.pathOf('runs.follow'),
    // In the input, not in a Last-Event-ID header: a header would need leave from every CORS configuration.
    input: after === 0 ? { runId } : { runId, lastEventId: toCursor(runId, after) },
    refreshToken: reconnect.refreshToken,
    signal,
    onRetryHint: (retryMs) => reconnect.hint(retryMs),
  })
  for await (const frame of frames) {
    if (frame.event === 'return') return
    if (frame.event === 'ping') reconnect.accepted()
    request.onState?.('streaming')
    const fresh = takeBatch(frame, after, connection.transformer)
    if (fresh === undefined) continue
    after = lastSeqOf(fresh)
    yield fresh
    if (terminalOf(fresh) !== undefined) return
  }
  throw new VerbatimError('UNAVAILABLE', 'The connection was cut before the run ended')
}

/** The part of `frame` past `after`; undefined for a heartbeat, or a batch that was taken before. */
function takeBatch(frame: SseFrame, after: number, { decode }: Transformer): EventBatch | undefined {
  if (frame.event === 'serialized-error') throw errorOfShape(decode(parseFrame(frame.data)))
  if (frame.event !== 'message') return undefined // connected, ping: a sign of life
  const batch = decode(parseFrame(frame.data))
  if (!isBatch(batch)) throw brokenFrame()
  if (batch.firstSeq > after + 1) {
    throw new VerbatimError(
      'UNAVAILABLE',
      `Events ${after + 1} to ${batch.firstSeq - 1} did not arrive; asking for them again`,
    )
  }
  return batchAfter(batch, after)
}

/** The frame's outline only: the server validated the events when it stored them, and a new type of event is no fault. */
function isBatch(value: unknown): value is EventBatch {
  const batch = value as Partial<EventBatch> | null // parse border
  return (
    Number.isSafeInteger(batch?.firstSeq) &&
    Number(batch?.firstSeq) > 0 &&
    Array.isArray(batch?.events) &&
    batch.events.length > 0
  )
}

function parseFrame(data: string): unknown {
  try {
    return JSON.parse(data)
  } catch (cause) {
    throw brokenFrame(cause)
  }
}

function brokenFrame(cause?: unknown): VerbatimError {
  return new VerbatimError('UNAVAILABLE', 'The server sent something that is not a batch of events', { cause })
}
