/**
 * A provider for the real SDK: an HTTP server that speaks Anthropic's wire protocol and does what the test says, also what
 * aimock cannot: hold an answer, break a frame, cut at a chosen place, and tell whether its caller has hung up.
 */
import { createServer } from 'node:http'
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { LLMock } from '@copilotkit/aimock'
import type { MockServerOptions } from '@copilotkit/aimock'
import { claude } from '@verbatim/core/claude'
import type { ClaudeOptionsInput } from '@verbatim/core/claude'
import type { Agent } from '@verbatim/core/server'

interface ProviderEvent {
  readonly type: string
  readonly [key: string]: unknown
}

/** The part of a request that tests look at. */
interface ProviderBody {
  readonly model: string
  readonly messages: readonly { readonly role: string; readonly content: readonly Record<string, unknown>[] }[]
  readonly [key: string]: unknown
}

/** One request to the provider, and the way to answer it. */
export interface ProviderCall {
  readonly headers: IncomingHttpHeaders
  readonly body: ProviderBody
  /** Resolves when the connection of the answer is closed; true when the caller did it. */
  readonly hungUp: Promise<boolean>
  /** Sends events; the first call opens the stream. */
  send(...events: ProviderEvent[]): void
  /** Sends text as it is, well-formed or not. */
  write(text: string): void
  /** Ends the body. */
  end(): void
  /** Destroys the socket, once everything is out. */
  cut(): void
  refuse(status: number, headers?: Record<string, string>): void
}

export type ProviderReply = (call: ProviderCall) => void | Promise<void>

export interface Provider extends AsyncDisposable {
  readonly url: string
  readonly calls: readonly ProviderCall[]
}

/** Answers the first request with the first reply and so on; one request too many is a 418, which nobody retries. */
export async function startProvider(...replies: readonly ProviderReply[]): Promise<Provider> {
  return await startProviderOf((_call, nth) => replies[nth] ?? ((call) => call.refuse(418)))
}

/** Answers each request with what `replyTo` says. */
export async function startProviderOf(replyTo: (call: ProviderCall, nth: number) => ProviderReply): Promise<Provider> {
  const calls: ProviderCall[] = []
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = []
    incoming.on('data', (chunk: Buffer) => chunks.push(chunk))
    incoming.on('end', () => {
      const call = createCall(incoming, response, Buffer.concat(chunks).toString())
      calls.push(call)
      void replyTo(call, calls.length - 1)(call)
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // a TCP server's address is never a string
  return {
    url: `http://127.0.0.1:${port}`,
    calls,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function createCall(incoming: IncomingMessage, response: ServerResponse, text: string): ProviderCall {
  let wasCut = false
  const open = () => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  }
  const write = (part: string) => {
    open()
    response.write(part)
  }
  return {
    headers: incoming.headers,
    body: JSON.parse(text) as ProviderBody, // what the SDK sent
    hungUp: new Promise((resolve) => {
      response.once('close', () => resolve(!wasCut && !response.writableFinished))
    }),
    write,
    send: (...events) => write(events.map(toFrame).join('')),
    end() {
      open()
      response.end()
    },
    cut() {
      open()
      response.write('', () => {
        wasCut = true
        response.socket?.destroy()
      })
    },
    refuse(status, headers = {}) {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify({ type: 'error', error: { type: 'some_error', message: providerSecret } }))
    },
  }
}

/** What the provider says in its refusals; nobody outside may ever see it. */
export const providerSecret = 'raw words of the provider'

/** What the agents of {@link claudeAt} authenticate with; nobody outside may ever see it. */
export const providerKey = 'sk-ant-secret-of-the-test'

/** The real agent over the real SDK; retries follow at once unless the provider asks for a wait. */
export function claudeAt(url: string, options: ClaudeOptionsInput = {}): Agent {
  return claude({ apiKey: providerKey, baseURL: url, random: () => 0, ...options })
}

/** A running aimock, stopped when it is disposed of. */
export async function startAimock(options: MockServerOptions = {}): Promise<LLMock & AsyncDisposable> {
  const mock = new LLMock({ port: 0, host: '127.0.0.1', chunkSize: 6, strict: true, ...options })
  await mock.start()
  return Object.assign(mock, { [Symbol.asyncDispose]: async () => await mock.stop() })
}

function toFrame(event: ProviderEvent): string {
  return `event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`
}

export interface UsageInput {
  readonly input?: number
  readonly output?: number
  readonly cacheRead?: number
  readonly cacheWrite?: number
}

/** The provider's `message_start`. */
export function callStart({ input = 10, cacheRead = 0, cacheWrite = 0 }: UsageInput = {}): ProviderEvent {
  const usage = {
    input_tokens: input,
    output_tokens: 1,
    cache_read_input_tokens: cacheRead,
    cache_creation_input_tokens: cacheWrite,
    service_tier: 'standard',
  }
  const nothingYet = { content: [], stop_reason: null, stop_sequence: null }
  const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'claude-sonnet-5-5', ...nothingYet, usage }
  return { type: 'message_start', message }
}

function textStart(index = 0): ProviderEvent {
  return { type: 'content_block_start', index, content_block: { type: 'text', text: '', citations: null } }
}

export function textDelta(text: string, index = 0): ProviderEvent {
  return { type: 'content_block_delta', index, delta: { type: 'text_delta', text } }
}

export function blockStop(index = 0): ProviderEvent {
  return { type: 'content_block_stop', index }
}

/** The end of a model call, with its usage. */
export function callEnd(stopReason = 'end_turn', { output = 5 }: UsageInput = {}): ProviderEvent[] {
  const delta = { stop_reason: stopReason, stop_sequence: null }
  return [{ type: 'message_delta', delta, usage: { output_tokens: output } }, { type: 'message_stop' }]
}

/** A text block that says `words`. */
export function textBlock(words: readonly string[], index = 0): ProviderEvent[] {
  return [textStart(index), ...words.map((word) => textDelta(word, index)), blockStop(index)]
}

export function toolBlock(index: number, call: { id: string; name: string; input: unknown }): ProviderEvent[] {
  const { id, name, input } = call
  const delta = { type: 'input_json_delta', partial_json: JSON.stringify(input) }
  return [
    { type: 'content_block_start', index, content_block: { type: 'tool_use', id, name, input: {} } },
    { type: 'content_block_delta', index, delta },
    blockStop(index),
  ]
}

/** A whole answer that says `words`. */
export function saying(...words: readonly string[]): ProviderReply {
  return (call) => {
    call.send(callStart(), ...textBlock(words), ...callEnd())
    call.end()
  }
}

/** The beginning of an answer, which then is held. */
export function beginning(...words: readonly string[]): ProviderReply {
  return (call) => call.send(callStart(), textStart(), ...words.map((word) => textDelta(word)))
}
