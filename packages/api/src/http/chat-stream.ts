/**
 * POST /chat/stream: the answer as plain text, for `curl` and for callers that want nothing else.
 * The head waits for the first text, so that an earlier failure gets a status. Plain text has no room for a later failure:
 * the server cuts the connection, so a clean end always means that the run completed or was cancelled.
 */
import { errorOf, terminalOf, textOfEvent, VerbatimError } from '@verbatim/core'
import type { EventBatch } from '@verbatim/core'
import { unbuffered } from '../sse/event-stream.ts'
import type { ItemFraming, StreamWriter } from '../sse/stream-writer.ts'
import { reportedErrorOf } from '../to-wire-error.ts'
import { startChat } from './chat-run.ts'
import { errorResponse, watchCaller } from './exchange.ts'
import type { ApiParts, Exchange } from './exchange.ts'

const textFraming: ItemFraming<string> = {
  kind: 'chat_stream',
  ping: undefined,
  interrupted: undefined,
  opening: '',
  encode: (text) => text,
  ending: '',
  failure: () => undefined,
}

export async function chatStream(parts: ApiParts, exchange: Exchange): Promise<void> {
  const started = await startChat(parts, exchange)
  if (started === undefined) return
  const { caller, owner, runId } = started
  const follow = new AbortController()
  const leave = () => follow.abort()
  exchange.closed.addEventListener('abort', leave, { once: true })
  const texts = textsOf(parts.engine.runs.follow(owner, runId, { signal: follow.signal }))
  let stream: StreamWriter | undefined
  // From now on, since a queued prompt may wait long for its first text.
  const release = watchCaller(parts, {
    caller,
    request: exchange.request,
    onEnd: (end) => (stream === undefined ? follow.abort(errorOf('UNAUTHENTICATED')) : stream.loseCaller(end)),
  })
  try {
    const first = await texts.next()
    const headers = { 'content-type': 'text/plain; charset=utf-8', ...unbuffered, 'x-run-id': runId }
    stream = parts.streams.open(exchange.openStream(headers), textFraming)
    stream.signal.addEventListener('abort', leave, { once: true })
    await stream.pipe(() => joined(first, texts), textFraming)
  } catch (error) {
    if (exchange.closed.aborted) return
    const known = reportedErrorOf(error, { logger: parts.logger, where: '/chat/stream' })
    exchange.respond(errorResponse(known, { 'x-run-id': runId }))
  } finally {
    release()
  }
}

/** The run's text as it comes. @throws VerbatimError the run's own, when it failed or was interrupted */
async function* textsOf(batches: AsyncIterable<EventBatch>): AsyncGenerator<string, void, void> {
  for await (const batch of batches) {
    const text = batch.events.map(textOfEvent).join('')
    if (text !== '') yield text
    const end = terminalOf(batch)
    if (end !== undefined && 'error' in end) throw VerbatimError.fromWire(end.error)
  }
}

async function* joined(
  first: IteratorResult<string, void>,
  rest: AsyncIterable<string>,
): AsyncGenerator<string, void, void> {
  if (first.done === true) return
  yield first.value
  yield* rest
}
