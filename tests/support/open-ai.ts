/** OpenAI's wire protocol on a real socket: what its Responses and its chat completions stream, and how they refuse. */
import type { IncomingHttpHeaders, ServerResponse } from 'node:http'
import { text as textOfStream } from 'node:stream/consumers'
import { listen } from '@verbatim/test-kit/http'

/** A frame, or an object in one. */
export type Json = { readonly [field: string]: unknown }

/** One request, and the way to answer it. */
interface OpenAiCall {
  readonly path: string
  readonly headers: IncomingHttpHeaders
  readonly body: Json & {
    readonly input?: readonly Json[]
    readonly messages?: readonly Json[]
    readonly tools?: readonly Json[]
  }
  /** Resolves when the caller has hung up. */
  readonly hungUp: Promise<void>
  send(...frames: readonly Json[]): void
  end(): void
  /** Destroys the socket, once everything is out. */
  cut(): void
  refuse(status: number, error?: Json, headers?: Record<string, string>): void
}

export type OpenAiReply = (call: OpenAiCall) => void

export interface OpenAi extends AsyncDisposable {
  readonly url: string
  readonly calls: readonly OpenAiCall[]
}

/** Answers the first request with the first reply and so on; one request too many is a 418. */
export async function startOpenAi(...replies: readonly OpenAiReply[]): Promise<OpenAi> {
  const calls: OpenAiCall[] = []
  const { url, [Symbol.asyncDispose]: close } = await listen((incoming, response) => {
    void textOfStream(incoming).then((json) => {
      const { url: path = '', headers } = incoming
      const call = { path, headers, body: JSON.parse(json) as OpenAiCall['body'], ...answersTo(response) }
      calls.push(call)
      const reply = replies[calls.length - 1] ?? ((late: OpenAiCall) => late.refuse(418))
      reply(call)
    })
  })
  return { url: `${url}/v1`, calls, [Symbol.asyncDispose]: close }
}

function answersTo(response: ServerResponse) {
  return {
    hungUp: new Promise<void>((resolve) => {
      response.once('close', () => resolve())
    }),
    send(...frames: readonly Json[]) {
      if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
      response.write(frames.map((frame) => `data: ${JSON.stringify(frame)}\n\n`).join(''))
    },
    end() {
      response.end('data: [DONE]\n\n')
    },
    cut() {
      response.write('', () => response.socket?.destroy())
    },
    refuse(status: number, error: Json = {}, headers: Record<string, string> = {}) {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify({ error: { message: 'raw words of the provider', type: 'some_error', ...error } }))
    },
  }
}

/** These frames, and the end of the stream. */
export function sending(...frames: readonly Json[]): OpenAiReply {
  return (call) => {
    call.send(...frames)
    call.end()
  }
}

export function refusing(status: number, error?: Json, headers?: Record<string, string>): OpenAiReply {
  return (call) => call.refuse(status, error, headers)
}

/** Frames of the Responses API. */
export const responses = {
  start: { type: 'response.created', response: { id: 'resp_1', created_at: 1, model: 'gpt-5-2026' } },
  text(words: readonly string[], { id = 'msg_1', at = 0 } = {}): Json[] {
    const item = { type: 'message', id }
    return [
      { type: 'response.output_item.added', output_index: at, item },
      ...words.map((delta) => ({ type: 'response.output_text.delta', item_id: id, output_index: at, delta })),
      { type: 'response.output_item.done', output_index: at, item },
    ]
  },
  reasoning(summary: string, { id = 'rs_1', at = 0 } = {}): Json[] {
    const place = { item_id: id, output_index: at, summary_index: 0 }
    return [
      {
        type: 'response.output_item.added',
        output_index: at,
        item: { type: 'reasoning', id, encrypted_content: 'half' },
      },
      { type: 'response.reasoning_summary_part.added', ...place },
      { type: 'response.reasoning_summary_text.delta', ...place, delta: summary },
      { type: 'response.reasoning_summary_part.done', ...place },
      {
        type: 'response.output_item.done',
        output_index: at,
        item: { type: 'reasoning', id, encrypted_content: 'sealed' },
      },
    ]
  },
  call(name: string, parts: readonly string[], { id = 'call_1', at = 0 } = {}): Json[] {
    const item = { type: 'function_call', id: `fc_${id}`, call_id: id, name, arguments: '' }
    const place = { item_id: item.id, output_index: at }
    return [
      { type: 'response.output_item.added', output_index: at, item },
      ...parts.map((delta) => ({ type: 'response.function_call_arguments.delta', ...place, delta })),
      { type: 'response.function_call_arguments.done', ...place, arguments: parts.join('') },
      {
        type: 'response.output_item.done',
        output_index: at,
        item: { ...item, arguments: parts.join(''), status: 'completed' },
      },
    ]
  },
  end(usage: Json = { input_tokens: 10, output_tokens: 5 }): Json {
    return { type: 'response.completed', response: { usage } }
  },
  incomplete(reason: string): Json {
    const usage = { input_tokens: 10, output_tokens: 5 }
    return { type: 'response.incomplete', response: { usage, incomplete_details: { reason } } }
  },
}

const chunk = (delta: Json, finish_reason: string | null = null): Json => ({
  id: 'chatcmpl-1',
  created: 1,
  model: 'local-1',
  choices: [{ index: 0, delta, finish_reason }],
})

/** Frames of chat completions, which most other servers speak. */
export const chat = {
  text: (...words: readonly string[]): Json[] => words.map((content) => chunk({ role: 'assistant', content })),
  call(name: string, parts: readonly string[], { id = 'call_1', at = 0 } = {}): Json[] {
    const [first = '', ...rest] = parts
    return [
      chunk({ tool_calls: [{ index: at, id, type: 'function', function: { name, arguments: first } }] }),
      ...rest.map((part) => chunk({ tool_calls: [{ index: at, function: { arguments: part } }] })),
    ]
  },
  end: (reason = 'stop'): Json[] => [
    chunk({}, reason),
    { id: 'chatcmpl-1', created: 1, model: 'local-1', choices: [], usage: { prompt_tokens: 10, completion_tokens: 5 } },
  ],
}
