/** API calls over bare node:http, one socket each: nothing between the harness and the wire retries or pools. */
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { buffer, text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import { CancelRunResult, DeleteSessionResult, Run, WireError } from '@verbatim/core'
import type { PromptInput, WhenBusy } from '@verbatim/core'
import type { ScriptInput } from '../prompt.ts'

/** An address of a server. */
export interface Endpoint {
  readonly port: number
}

export type Answer<TData> =
  | { readonly type: 'data'; readonly data: TData }
  | { readonly type: 'refused'; readonly error: WireError }
  /** The connection ended without an answer: the server may or may not have done what the call asks. */
  | { readonly type: 'lost' }

const callTimeoutMs = 6_500

export interface StartInput {
  readonly sessionId: string
  readonly runId: string
  readonly message: PromptInput
  readonly agentId: string
  readonly input?: ScriptInput | undefined
  readonly whenBusy?: WhenBusy
}

export async function startOnce(endpoint: Endpoint, input: StartInput, timeoutMs?: number): Promise<Answer<Run>> {
  return await post(open(endpoint, '/trpc/runs.start', { timeoutMs }), input, Run)
}

export async function retryOnce(endpoint: Endpoint, runId: string, newRunId: string): Promise<Answer<Run>> {
  return await post(open(endpoint, '/trpc/runs.retry'), { runId, newRunId }, Run)
}

export async function cancelOnce(endpoint: Endpoint, runId: string): Promise<Answer<CancelRunResult>> {
  return await post(open(endpoint, '/trpc/runs.cancel'), { runId }, CancelRunResult)
}

export async function deleteOnce(endpoint: Endpoint, sessionId: string): Promise<Answer<DeleteSessionResult>> {
  return await post(open(endpoint, '/trpc/sessions.delete'), { sessionId }, DeleteSessionResult)
}

/** The bytes of an attachment. */
export async function downloadOnce(endpoint: Endpoint, id: string): Promise<Answer<Buffer>> {
  const request = open(endpoint, `/attachments/${id}`, { method: 'GET' })
  request.end()
  const response = await responseOf(request, buffer)
  if (response === undefined) return { type: 'lost' }
  if (response.status === 200) return { type: 'data', data: response.body }
  const { error } = JSON.parse(response.body.toString()) as { error?: unknown } // parsed below
  return { type: 'refused', error: WireError.parse(error) }
}

/** Sends a start and hangs up `afterMs` later, without a look at the answer. */
export async function startAndHangUp(endpoint: Endpoint, input: StartInput, afterMs: number): Promise<void> {
  const request = open(endpoint, '/trpc/runs.start')
  request.end(JSON.stringify(input))
  await sleep(afterMs)
  request.destroy()
}

/** Repeats a call until it succeeds, the server refuses it for good, or `signal` aborts; resolves to the last answer. */
export async function untilAnswered<TData>(
  signal: AbortSignal,
  call: (tries: number) => Promise<Answer<TData>>,
): Promise<Answer<TData>> {
  for (let tries = 0; ; tries++) {
    const answer = await call(tries)
    const isTransient = answer.type === 'lost' || (answer.type === 'refused' && answer.error.retryable)
    if (!isTransient || signal.aborted) return answer
    await sleep(50)
  }
}

/** Repeats a query, at one endpoint after the other, until one answers. */
export async function query(endpoints: readonly Endpoint[], path: string, input: unknown): Promise<unknown> {
  const signal = AbortSignal.timeout(20_000)
  const url = `/trpc/${path}?input=${encodeURIComponent(JSON.stringify(input))}`
  const answer = await untilAnswered(signal, async (tries) => {
    const endpoint = endpoints[tries % endpoints.length]
    if (endpoint === undefined) throw new Error('No endpoint')
    const request = open(endpoint, url, { method: 'GET' })
    request.end()
    return await answerOf(request, { parse: (data) => data })
  })
  if (answer.type !== 'data') throw new Error(`No server answered ${path}: ${JSON.stringify(answer)}`)
  return answer.data
}

interface RequestOptions {
  readonly timeoutMs?: number | undefined
  readonly method?: 'GET' | 'POST'
}

function open({ port }: Endpoint, path: string, options: RequestOptions = {}): ClientRequest {
  const { timeoutMs = callTimeoutMs, method = 'POST' } = options
  const headers = method === 'POST' ? { 'content-type': 'application/json' } : {}
  const signal = AbortSignal.timeout(timeoutMs)
  const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false, signal })
  return request.on('error', () => {}) // `answerOf` reports it
}

interface Parser<TData> {
  parse(data: unknown): TData
}

async function post<TData>(request: ClientRequest, input: unknown, parser: Parser<TData>): Promise<Answer<TData>> {
  request.end(JSON.stringify(input))
  return await answerOf(request, parser)
}

interface WireAnswer {
  readonly result?: { readonly data: unknown }
  readonly error?: { readonly data?: { readonly verbatim?: unknown } }
}

async function answerOf<TData>(request: ClientRequest, parser: Parser<TData>): Promise<Answer<TData>> {
  const response = await responseOf(request, text)
  if (response === undefined) return { type: 'lost' }
  const { result, error } = JSON.parse(response.body) as WireAnswer // parsed below
  if (result !== undefined) return { type: 'data', data: parser.parse(result.data) }
  return { type: 'refused', error: WireError.parse(error?.data?.verbatim) }
}

async function responseOf<TBody>(request: ClientRequest, read: (response: IncomingMessage) => Promise<TBody>) {
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    return { status: response.statusCode, body: await read(response) }
  } catch {
    return undefined
  }
}
