/** Calls of the API by bare node:http, one socket each, so that nothing between the harness and the wire retries or pools. */
import { request as httpRequest } from 'node:http'
import type { ClientRequest } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import { CancelRunResult, DeleteSessionResult, Run, WireError } from '@verbatim/core'
import type { WhenBusy } from '@verbatim/core'

/** An address that answers; clients try them in turn. */
export interface Endpoint {
  readonly port: number
}

export type Answer<TData> =
  | { readonly type: 'data'; readonly data: TData }
  /** The server said no. */
  | { readonly type: 'refused'; readonly error: WireError }
  /** No answer came: whether the call was heard is not known. */
  | { readonly type: 'lost' }

/** Of a client that gives up on a call, in milliseconds. */
const callTimeoutMs = 6_500

export interface StartInput {
  readonly sessionId: string
  readonly runId: string
  readonly message: string
  readonly agentId: string
  readonly whenBusy?: WhenBusy
}

/** @param timeoutMs for how long an answer is waited for */
export async function startOnce(
  endpoint: Endpoint,
  input: StartInput,
  timeoutMs: number = callTimeoutMs,
): Promise<Answer<Run>> {
  return await post(endpoint, 'runs.start', input, (data) => Run.parse(data), timeoutMs)
}

export async function retryOnce(endpoint: Endpoint, runId: string, newRunId: string): Promise<Answer<Run>> {
  return await post(endpoint, 'runs.retry', { runId, newRunId }, (data) => Run.parse(data))
}

export async function cancelOnce(endpoint: Endpoint, runId: string): Promise<Answer<CancelRunResult>> {
  return await post(endpoint, 'runs.cancel', { runId }, (data) => CancelRunResult.parse(data))
}

export async function deleteOnce(endpoint: Endpoint, sessionId: string): Promise<Answer<DeleteSessionResult>> {
  return await post(endpoint, 'sessions.delete', { sessionId }, (data) => DeleteSessionResult.parse(data))
}

/** Sends a start and hangs up `afterMs` later, without looking at the answer. */
export async function startAndHangUp(endpoint: Endpoint, input: StartInput, afterMs: number): Promise<void> {
  const request = open(endpoint, 'POST', '/trpc/runs.start')
  request.on('error', () => {})
  request.end(JSON.stringify(input))
  await sleep(afterMs)
  request.destroy()
}

/** Repeats a call until its answer is one that does not pass by itself, or `signal` aborts; answers the last one. */
export async function untilAnswered<TData>(
  signal: AbortSignal,
  call: (tries: number) => Promise<Answer<TData>>,
): Promise<Answer<TData>> {
  for (let tries = 0; ; tries++) {
    const answer = await call(tries)
    const passes = answer.type === 'lost' || (answer.type === 'refused' && answer.error.retryable)
    if (!passes || signal.aborted) return answer
    await sleep(50)
  }
}

/** A query, repeated in turn over `endpoints` until one answers. */
export async function query(endpoints: readonly Endpoint[], path: string, input: unknown): Promise<unknown> {
  const deadline = performance.now() + 20_000
  for (let tries = 0; ; tries++) {
    const endpoint = endpoints[tries % endpoints.length]
    if (endpoint === undefined) throw new Error('No endpoint')
    const answer = await get(endpoint, `/trpc/${path}?input=${encodeURIComponent(JSON.stringify(input))}`)
    if (answer.type === 'data') return answer.data
    if (performance.now() > deadline) throw new Error(`${path} was not answered: ${JSON.stringify(answer)}`)
    await sleep(50)
  }
}

async function post<TData>(
  endpoint: Endpoint,
  path: string,
  ...[input, parse, timeoutMs = callTimeoutMs]: [unknown, (data: unknown) => TData, number?]
): Promise<Answer<TData>> {
  const request = open(endpoint, 'POST', `/trpc/${path}`)
  request.end(JSON.stringify(input))
  return await answerOf(request, parse, timeoutMs)
}

async function get(endpoint: Endpoint, path: string): Promise<Answer<unknown>> {
  const request = open(endpoint, 'GET', path)
  request.end()
  return await answerOf(request, (data) => data, callTimeoutMs)
}

function open({ port }: Endpoint, method: string, path: string): ClientRequest {
  const headers = method === 'POST' ? { 'content-type': 'application/json' } : {}
  return httpRequest({ host: '127.0.0.1', port, path, method, headers, agent: false })
}

async function answerOf<TData>(
  request: ClientRequest,
  parse: (data: unknown) => TData,
  timeoutMs: number,
): Promise<Answer<TData>> {
  const text = await textOf(request, timeoutMs)
  if (text === undefined) return { type: 'lost' }
  const body = JSON.parse(text) as { result?: { data: unknown }; error?: { data?: { verbatim?: unknown } } }
  if (body.result !== undefined) return { type: 'data', data: parse(body.result.data) }
  return { type: 'refused', error: WireError.parse(body.error?.data?.verbatim) }
}

async function textOf(request: ClientRequest, timeoutMs: number): Promise<string | undefined> {
  return await new Promise((resolve) => {
    const timer = setTimeout(() => request.destroy(), timeoutMs)
    const settle = (text: string | undefined) => {
      clearTimeout(timer)
      resolve(text)
    }
    request.on('error', () => settle(undefined))
    request.on('close', () => settle(undefined))
    request.on('response', (response) => {
      let text = ''
      response.setEncoding('utf8')
      response.on('data', (chunk: string) => (text += chunk))
      response.on('end', () => settle(response.complete ? text : undefined))
      response.on('error', () => settle(undefined))
    })
  })
}
