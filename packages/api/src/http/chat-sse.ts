/**
 * /chat/sse: a run as server-sent events that any EventSource reads. POST starts the run, GET resumes it, on any server.
 * Token frames carry the cursor after their text, so a resume repeats no text and misses none (promise P2).
 */
import {
  isTerminalEvent,
  lastSeqOf,
  seqOf,
  statusOfTerminal,
  textOfEvent,
  toCursor,
  VerbatimError,
} from '@verbatim/core'
import type { EventBatch, RunEvent, RunId, TerminalEvent } from '@verbatim/core'
import { eventStreamHeaders, lastWordsOf, reconnectHint } from '../sse/event-stream.ts'
import type { ItemFraming } from '../sse/stream-writer.ts'
import { parseRunId, requireCaller, startChat } from './chat-run.ts'
import type { ChatRun } from './chat-run.ts'
import { guardStream, keepPace, requestQuery } from './exchange.ts'
import type { ApiParts, Exchange } from './exchange.ts'

/** Starts a run and streams it. A POST that names a cursor is a reconnect: it resumes that run and starts nothing. */
export async function startChatSse(parts: ApiParts, exchange: Exchange): Promise<void> {
  const cursor = exchange.request.headers.get('last-event-id')
  if (cursor !== null && cursor !== '') {
    const runId = parseRunId(cursor.slice(0, cursor.lastIndexOf(':')), 'Last-Event-ID')
    return await resumeRun(parts, exchange, runId)
  }
  const started = await startChat(parts, exchange)
  if (started !== undefined) await streamRun(parts, exchange, started)
}

/** Streams a run from the caller's cursor, or from its start. */
export async function resumeChatSse(parts: ApiParts, exchange: Exchange, runIdText: string): Promise<void> {
  await resumeRun(parts, exchange, parseRunId(runIdText, 'runId'))
}

async function resumeRun(parts: ApiParts, exchange: Exchange, runId: RunId): Promise<void> {
  const { caller, owner } = await requireCaller(parts, exchange)
  await keepPace(parts, exchange)
  const cursor =
    exchange.request.headers.get('last-event-id') ?? requestQuery(exchange.request).get('lastEventId') ?? ''
  const after = cursor === '' ? undefined : cursor
  const seq = seqOf(after, runId)
  const { lastSeq } = await parts.engine.runs.get(owner, runId)
  if (lastSeq !== null && seq > lastSeq) {
    throw new VerbatimError('INVALID_CURSOR', "The cursor is past the end of the run's log", {
      data: { field: 'lastEventId' },
    })
  }
  // The caller has the last frame. Only 204 makes an EventSource stop.
  if (lastSeq !== null && seq === lastSeq) return exchange.respond({ status: 204, headers: { 'x-run-id': runId } })
  await streamRun(parts, exchange, { caller, owner, runId, after })
}

async function streamRun(
  parts: ApiParts,
  exchange: Exchange,
  run: ChatRun & { after?: string | undefined },
): Promise<void> {
  const { caller, owner, runId, after } = run
  const framing = sseFraming(parts, runId)
  const sink = exchange.openStream({ ...eventStreamHeaders, 'x-run-id': runId })
  const stream = parts.streams.open(sink, framing)
  guardStream(parts, stream, { caller, request: exchange.request })
  await stream.pipe((signal) => parts.engine.runs.follow(owner, runId, { after, signal }), framing)
}

function sseFraming({ options, logger }: ApiParts, runId: RunId): ItemFraming<EventBatch> {
  return {
    kind: 'chat_sse',
    ping: ': ping\n', // a comment, and no blank line, which some readers take for the end of a message
    interrupted: reconnectHint(options),
    opening: reconnectHint(options),
    encode: (batch) => encodeBatch(batch, runId),
    ending: '',
    failure: (cause) =>
      lastWordsOf(cause, { options, logger, where: '/chat/sse' }, ({ code, message }) =>
        dataFrame({ type: 'error', code, message }),
      ),
  }
}

/** Without an id the client keeps the one it has. */
function dataFrame(data: object, id?: string): string {
  return `${id === undefined ? '' : `id: ${id}\n`}data: ${JSON.stringify(data)}\n\n`
}

/** A batch's text, and the events that have a frame of their own, in order. A cut between two frames must lose none: each has its own cursor. */
function encodeBatch(batch: EventBatch, runId: RunId): string {
  const frames: string[] = []
  let text = ''
  const flushText = (seq: number) => {
    if (text !== '') frames.push(dataFrame({ type: 'token', data: text }, toCursor(runId, seq)))
    text = ''
  }
  for (const [at, event] of batch.events.entries()) {
    text += textOfEvent(event)
    const own = ownFrameOf(event)
    if (own === undefined) continue
    const seq = batch.firstSeq + at
    flushText(seq - 1)
    frames.push(dataFrame(own, toCursor(runId, seq)))
  }
  flushText(lastSeqOf(batch))
  return frames.join('')
}

function ownFrameOf(event: RunEvent): object | undefined {
  if (event.type === 'output') return { type: 'output', data: event.output }
  if (event.type === 'data') return { type: 'data', name: event.name, id: event.id, data: event.data }
  return isTerminalEvent(event) ? endOf(event) : undefined
}

function endOf(event: TerminalEvent): object {
  const { messageId, metrics } = event
  if (!('error' in event)) return { type: 'done', messageId, status: statusOfTerminal(event), metrics }
  const { continuedBy } = event.type === 'run_interrupted' ? event : {}
  return { type: 'error', code: event.error.code, message: event.error.message, messageId, continuedBy }
}
