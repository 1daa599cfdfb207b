/** For this folder's tests: a real HTTP server of the provider's wire protocol, one scripted reply per request. */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { AgentEvent } from '../../contract/event.ts'
import type { Message } from '../../contract/message.ts'
import type { AgentRequest } from '../../ports/agent.ts'
import type { Clock } from '../../ports/clock.ts'

interface ReceivedRequest {
  readonly headers: IncomingMessage['headers']
  readonly body: {
    readonly messages: readonly { readonly role: string; readonly content: readonly Record<string, unknown>[] }[]
    readonly [key: string]: unknown
  }
}

export type Reply = (response: ServerResponse) => void | Promise<void>

export interface TestProvider extends AsyncDisposable {
  readonly baseURL: string
  readonly requests: readonly ReceivedRequest[]
}

/** Answers the first request with the first reply, and so on; one request too many is a 418. */
export async function startTestProvider(replies: readonly Reply[]): Promise<TestProvider> {
  const requests: ReceivedRequest[] = []
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const reply = replies[requests.length] ?? refuse(418)
      requests.push({ headers: incoming.headers, body: JSON.parse(Buffer.concat(chunks).toString()) })
      void reply(response)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // a TCP server's address is never a string
  return {
    baseURL: `http://127.0.0.1:${port}`,
    requests,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** An SSE frame as the provider writes it. */
export function frame(event: { readonly type: string; readonly [key: string]: unknown }): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}

export const start = {
  type: 'message_start',
  message: {
    id: 'msg_1',
    type: 'message',
    role: 'assistant',
    content: [],
    model: 'claude-sonnet-5-5',
    stop_reason: null,
    stop_sequence: null,
    usage: {
      input_tokens: 12,
      output_tokens: 1,
      cache_read_input_tokens: 900,
      cache_creation_input_tokens: 40,
      cache_creation: { ephemeral_5m_input_tokens: 40, ephemeral_1h_input_tokens: 0 },
      service_tier: 'standard',
    },
  },
}

export function textBlock(index: number, ...deltas: readonly string[]) {
  return [
    { type: 'content_block_start', index, content_block: { type: 'text', text: '', citations: null } },
    ...deltas.map((text) => ({ type: 'content_block_delta', index, delta: { type: 'text_delta', text } })),
    { type: 'content_block_stop', index },
  ]
}

export function toolBlock(index: number, call: { id: string; name: string; json: string }) {
  const { id, name, json } = call
  const content_block = { type: 'tool_use', id, name, input: {}, caller: { type: 'direct' } }
  return [
    { type: 'content_block_start', index, content_block },
    { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: json } },
    { type: 'content_block_stop', index },
  ]
}

export function end(stopReason: string) {
  return [
    {
      type: 'message_delta',
      delta: { stop_reason: stopReason, stop_sequence: null, stop_details: null, container: null },
      usage: { output_tokens: 25, input_tokens: null, server_tool_use: null },
    },
    { type: 'message_stop' },
  ]
}

/** A whole stream of these events. */
export function stream(...events: readonly { readonly type: string }[]): Reply {
  return (response) => {
    openStream(response).end(events.map(frame).join(''))
  }
}

/** These events, then the socket is cut. */
export function cutAfter(...events: readonly { readonly type: string }[]): Reply {
  return (response) => {
    openStream(response).write(events.map(frame).join(''), () => response.socket?.destroy())
  }
}

export function openStream(response: ServerResponse): ServerResponse {
  return response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8', 'request-id': 'req_1' })
}

/** A refusal whose body holds what must never be shown. */
export function refuse(status: number, headers: Record<string, string> = {}): Reply {
  return (response) => {
    response.writeHead(status, { 'content-type': 'application/json', ...headers })
    response.end(JSON.stringify({ type: 'error', error: { type: 'some_error', message: 'raw body of the provider' } }))
  }
}

export function requestOf(...turns: readonly (string | Partial<Message>)[]): AgentRequest {
  const messages = turns.map((turn, at): Message => {
    const given = typeof turn === 'string' ? { content: [{ type: 'text' as const, text: turn }] } : turn
    return {
      id: crypto.randomUUID(),
      sessionId: 'session-1',
      seq: at + 1,
      role: at % 2 === 0 ? 'user' : 'assistant',
      content: [],
      status: 'completed',
      agentId: null,
      runId: null,
      continuationOf: null,
      retryOf: null,
      metrics: null,
      createdAt: '2026-11-23T00:00:00.000Z',
      ...given,
    }
  })
  return { runId: '00000000-0000-4000-8000-000000000001', sessionId: 'session-1', messages }
}

/** Everything the agent yields, and what it threw in the end. */
export async function collect(events: AsyncIterable<AgentEvent>): Promise<{ events: AgentEvent[]; error: unknown }> {
  const collected: AgentEvent[] = []
  try {
    for await (const event of events) collected.push(event)
    return { events: collected, error: undefined }
  } catch (error) {
    return { events: collected, error }
  }
}

/** A clock that stands still. */
export const stillClock: Clock = { now: () => new Date('2026-11-23T12:00:00.000Z'), monotonicMs: () => 0 }
