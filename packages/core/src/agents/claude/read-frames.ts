/**
 * One answer of the Messages API, frame by frame. The SDK's own stream keeps `ping` to itself and drops frames without an
 * `event:` line, so the body is read here.
 * In: a request. Out: the provider's events as it sent them, not yet checked. What is no stream of events is a typed error.
 */
import { isVerbatimError } from '../../contract/errors.ts'
import type { AgentEvent } from '../../contract/event.ts'
import type { AgentPing } from '../../ports/agent.ts'
import type { Clock } from '../../ports/clock.ts'
import type { ClaudeClient } from './claude-options.ts'
import { malformed, mapErrorBody, mapRequestError, mapStreamError } from './map-provider-error.ts'
import { middlewareFor } from './request-middleware.ts'
import { loadSdk } from './sdk.ts'
import type { EventMapper } from './to-agent-event.ts'
import type { ClaudeRequest } from './to-claude-request.ts'

export interface FrameReader {
  readonly client: ClaudeClient
  readonly clock: Clock
}

/** What one attempt of a call says. @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED`; the signal's reason when it aborts */
export async function* readEvents(
  caller: FrameReader,
  request: ClaudeRequest,
  { mapper, signal }: { mapper: EventMapper; signal: AbortSignal },
): AsyncGenerator<AgentEvent | AgentPing, void, void> {
  try {
    for await (const frame of readFrames(caller, request, signal)) {
      const events = isPing(frame) ? [] : mapper.map(frame)
      // What is held back is a sign of life.
      yield* events.length === 0 ? [ping] : events.map((event) => withBinding(event, request.boundTo))
    }
  } catch (error) {
    // Cut after the stop reason: all was said.
    if (!isVerbatimError(error) || error.data.kind !== 'cut') throw error
  }
  yield* mapper.end()
}

const ping: AgentPing = { type: 'ping' }

function isPing(frame: unknown): boolean {
  return typeof frame === 'object' && frame !== null && 'type' in frame && frame.type === 'ping'
}

/** Thinking is valid only after the prefix that it was made from, so it is stored with a fingerprint of that prefix. */
function withBinding(event: AgentEvent, boundTo: string): AgentEvent {
  if (event.type !== 'content_block_start') return event
  const { content_block } = event
  if (content_block.type !== 'thinking' && content_block.type !== 'redacted_thinking') return event
  return { ...event, content_block: { ...content_block, boundTo } }
}

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED`; the signal's reason when it aborts */
export async function* readFrames(
  { client, clock }: FrameReader,
  request: ClaudeRequest,
  signal: AbortSignal,
): AsyncGenerator<unknown, void, void> {
  signal.throwIfAborted()
  // The SDK listens to the signal of a request until its own stream has ended, which is not read here: it gets one of its own.
  const stopping = new AbortController()
  const stop = () => stopping.abort(signal.reason)
  signal.addEventListener('abort', stop)
  try {
    for await (const frame of framesOf(await open({ client, clock }, request, stopping.signal))) {
      signal.throwIfAborted()
      yield frame
    }
  } catch (error) {
    signal.throwIfAborted()
    throw mapStreamError(error, clock)
  } finally {
    signal.removeEventListener('abort', stop)
    stop() // a reader that leaves early ends the request
  }
}

interface Opened {
  readonly stream: AsyncIterable<unknown>
  /** Undefined for a client that gives no access to it. */
  readonly response: Response | undefined
}

async function open({ client, clock }: FrameReader, request: ClaudeRequest, signal: AbortSignal): Promise<Opened> {
  try {
    // Our own retries, not the SDK's: a follower must see them.
    const created = client.messages.create(request.body, { signal, maxRetries: 0, ...middlewareFor(client, request) })
    // A caller's client may be no SDK of Anthropic's, and answer the stream alone.
    if (!('withResponse' in created)) {
      return { stream: await Promise.resolve<AsyncIterable<unknown>>(created), response: undefined }
    }
    const { data, response } = await created.withResponse()
    return { stream: data, response }
  } catch (error) {
    throw mapRequestError(error, clock)
  }
}

async function* framesOf({ stream, response }: Opened): AsyncGenerator<unknown> {
  const contentType = response?.headers.get('content-type') ?? ''
  if (response === undefined || contentType.includes('vnd.amazon.eventstream')) yield* stream
  else if (contentType.includes('json')) yield* framesOfJson(await response.text())
  else if (contentType.includes('html')) throw malformed('content-type')
  else yield* framesOfEvents(response, contentType)
}

async function* framesOfEvents(response: Response, contentType: string): AsyncGenerator<unknown> {
  const { Stream } = await loadSdk()
  let count = 0
  for await (const { event, data } of Stream.rawEvents(response)) {
    count++
    const frame = toFrame(event, data)
    if (frame !== undefined) yield frame
  }
  if (count === 0 && !contentType.includes('event-stream')) throw malformed('content-type')
}

/** A frame's data with its type, which may be told by the `event:` line only; undefined for what is no event. */
function toFrame(event: string | null, data: string): unknown {
  if (data === '' || data === '[DONE]') return event === 'ping' ? { type: 'ping' } : undefined
  const frame = parseExactly(data)
  if (event === 'error' || isError(frame)) throw mapErrorBody(frame)
  if (frame === undefined) throw malformed('data')
  return event !== null && isObject(frame) && !('type' in frame) ? { type: event, ...frame } : frame
}

/** A provider that does not stream answers the whole message at once, or why not. */
function* framesOfJson(text: string): Generator<unknown> {
  const body = parseExactly(text)
  if (isError(body)) throw mapErrorBody(body)
  if (!isObject(body) || body['type'] !== 'message') throw malformed('content-type')
  const { stop_reason, stop_sequence, usage } = body
  yield { type: 'message_start', message: body }
  yield { type: 'message_delta', delta: { stop_reason, stop_sequence }, usage }
  yield { type: 'message_stop' }
}

/** JSON whose integers that JavaScript cannot hold become strings: rounded, the input of a tool would be another one. */
function parseExactly(text: string): unknown {
  try {
    const hasLargeNumber = /[^\w"]\d{16}/.test(text)
    return JSON.parse(
      hasLargeNumber ? text.replace(largeInteger, (found) => (isRounded(found) ? `"${found}"` : found)) : text,
    )
  } catch {
    return undefined
  }
}

/** Not the digits of a fraction or of an exponent. */
const largeInteger = /"[^"\\]*(?:\\.[^"\\]*)*"|(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g

/** False when JavaScript holds the same number, or writes it with the same digits. */
function isRounded(found: string): boolean {
  return /^-?\d/.test(found) && String(Number(found)) !== found && BigInt(Number(found)) !== BigInt(found)
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null
}

function isError(body: unknown): boolean {
  return isObject(body) && (body['type'] === 'error' || (!('type' in body) && 'error' in body))
}
