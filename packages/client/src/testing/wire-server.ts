/**
 * A real HTTP server that speaks the wire protocol and misbehaves as a test tells it. It holds no rules of the engine:
 * what it answers is what the test says. The end-to-end tests run the real server instead.
 */
/// <reference types="node" />
import type { IncomingMessage, ServerResponse } from 'node:http'
import { lastSeqOf } from '@verbatim/core'
import type { EventBatch, WireError } from '@verbatim/core'
import { listen } from '@verbatim/test-kit/http'

/** One request as it came. */
interface WireRequest {
  readonly path: string
  readonly input: Record<string, unknown>
  readonly authorization: string | undefined
  /** Seq that a follow goes on after. */
  readonly after: number
  /** How many requests for this path came before. */
  readonly nth: number
}

export type Handler = (request: WireRequest, response: ServerResponse) => void | Promise<void>

export interface WireServer extends AsyncDisposable {
  readonly url: string
  readonly requests: WireRequest[]
  /** Requests for one procedure. */
  to(path: string): WireRequest[]
  /** Follows that are open now. */
  readonly openStreams: number
  on(path: string, handler: Handler): void
  handlerOf(path: string): Handler
}

export async function startWireServer(handlers: Record<string, Handler> = {}): Promise<WireServer> {
  const table = new Map(Object.entries(handlers))
  const requests: WireRequest[] = []
  let openStreams = 0
  const server = await listen((incoming, response) => {
    void (async () => {
      const request = await readRequest(incoming, requests)
      requests.push(request)
      if (request.path === 'runs.follow') {
        openStreams += 1
        response.on('close', () => (openStreams -= 1))
      }
      const handler = table.get(request.path)
      if (handler === undefined)
        return refuse(response, { code: 'NOT_FOUND', message: request.path, retryable: false, data: {} }, 404)
      await handler(request, response)
    })()
  })
  return {
    ...server,
    requests,
    to: (path) => requests.filter((request) => request.path === path),
    get openStreams() {
      return openStreams
    },
    on: (path, handler) => void table.set(path, handler),
    handlerOf: (path) => table.get(path) ?? (() => {}),
  }
}

async function readRequest(incoming: IncomingMessage, before: readonly WireRequest[]): Promise<WireRequest> {
  const url = new URL(incoming.url ?? '/', 'http://localhost')
  const path = url.pathname.replace(/^\/trpc\//, '')
  let body = ''
  for await (const chunk of incoming) body += String(chunk)
  const input = JSON.parse(url.searchParams.get('input') ?? (body === '' ? '{}' : body)) as Record<string, unknown>
  const { authorization } = incoming.headers
  const cursor = input['lastEventId']
  const after = typeof cursor === 'string' ? Number(cursor.split(':')[1]) : 0
  return { path, input, authorization, after, nth: before.filter((request) => request.path === path).length }
}

/** Answers a call. */
export function reply(response: ServerResponse, data: unknown): void {
  response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ result: { data } }))
}

export function wireError(code: WireError['code'], data: WireError['data'] = {}): WireError {
  return { code, message: `refused with ${code}`, retryable: false, data }
}

/** Answers a call, or the opening of a stream, with one of our errors. */
export function refuse(response: ServerResponse, error: WireError, status: number): void {
  const shape = { message: error.message, code: -32000, data: { httpStatus: status, verbatim: error } }
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify({ error: shape }))
}

export function openSse(response: ServerResponse): void {
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-cache, no-transform' })
}

export const connectedFrame = 'event: connected\ndata: {}\n\n\n'
export const pingFrame = 'event: ping\ndata: \n\n\n'
export const returnFrame = 'event: return\ndata: \n\n\n'

export function batchFrame(batch: EventBatch, id: string): string {
  return `data: ${JSON.stringify(batch)}\nid: ${id}:${lastSeqOf(batch)}\n\n`
}

export function errorFrame(error: WireError, status: number): string {
  return `event: serialized-error\ndata: ${JSON.stringify({ message: error.message, code: -32000, data: { httpStatus: status, verbatim: error } })}\n\n`
}

/**
 * Answers a follow of `log` as a server that behaves does: with what comes after the request's cursor.
 * @param part how many frames it sends, and what it does with the connection after them
 */
export function followOf(
  log: readonly EventBatch[],
  { frames, ending = 'close' }: { frames?: number; ending?: 'close' | 'cut' | 'hold' } = {},
): Handler {
  return ({ input, after }, response) => {
    openSse(response)
    const sent = followFrames(log, { after, id: String(input['runId']) }).slice(0, frames)
    if (ending === 'close') response.end(sent.join(''))
    else response.write(sent.join(''), () => ending === 'cut' && response.destroy())
  }
}

/** Answers the first `count` requests with `first`, and those after them with `rest`. */
export function firstly(count: number, first: Handler, rest: Handler): Handler {
  return async (request, response) => await (request.nth < count ? first : rest)(request, response)
}

/** A follow that says nothing. */
export const silent: Handler = (_request, response) => openSse(response)

/** What a server that behaves sends for a follow: the batches past the cursor, and the word that this was all. */
export function followFrames(log: readonly EventBatch[], { after, id }: { after: number; id: string }): string[] {
  return [
    connectedFrame,
    ...log.filter((batch) => lastSeqOf(batch) > after).map((batch) => batchFrame(batch, id)),
    returnFrame,
  ]
}
