/**
 * A provider for the real SDK: an HTTP server of Anthropic's wire protocol that does what the test says. It can hold an
 * answer, break a frame, cut at a chosen place, and tell whether its caller has hung up.
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { listen } from '../http/listen.ts'
import { blockStop, callEnd, frameOf, textDelta } from './events.ts'
import type { ProviderEvent } from './events.ts'

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
  send(...events: readonly ProviderEvent[]): void
  /** Sends text as it is, well-formed or not. */
  write(text: string): void
  /** Ends the body. */
  end(): void
  /** Says `words` in the text block that is open, and ends the answer as a model does. */
  finish(...words: string[]): void
  /** Destroys the socket, once everything is out. */
  cut(): void
  /** Destroys the socket at once, without an answer. */
  reset(): void
  refuse(status: number, headers?: Record<string, string>): void
}

export type ProviderReply = (call: ProviderCall) => void | Promise<void>

export interface Provider extends AsyncDisposable {
  readonly url: string
  readonly calls: readonly ProviderCall[]
}

/** Answers the first request with the first reply and so on; one request too many is a 418, which no client retries. */
export async function startProvider(...replies: readonly ProviderReply[]): Promise<Provider> {
  return await startProviderOf((_call, nth) => replies[nth] ?? ((call) => call.refuse(418)))
}

/** Answers each request with what `replyTo` says. */
export async function startProviderOf(replyTo: (call: ProviderCall, nth: number) => ProviderReply): Promise<Provider> {
  const calls: ProviderCall[] = []
  const { url, [Symbol.asyncDispose]: close } = await listen((incoming, response) => {
    void json(incoming).then(async (body) => {
      const call = createCall(incoming, response, body as ProviderBody) // what the SDK sent
      calls.push(call)
      await replyTo(call, calls.length - 1)(call)
    })
  })
  return { url, calls, [Symbol.asyncDispose]: close }
}

function createCall(incoming: IncomingMessage, response: ServerResponse, body: ProviderBody): ProviderCall {
  let wasCut = false
  const open = () => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  }
  const write = (part: string) => {
    open()
    response.write(part)
  }
  const send = (...events: readonly ProviderEvent[]) => write(events.map(frameOf).join(''))
  const end = () => {
    open()
    response.end()
  }
  return {
    headers: incoming.headers,
    body,
    hungUp: new Promise((resolve) => {
      response.once('close', () => resolve(!wasCut && !response.writableFinished))
    }),
    write,
    send,
    end,
    finish(...words) {
      send(...words.map((word) => textDelta(word)), blockStop(), ...callEnd())
      end()
    },
    cut() {
      open()
      response.write('', () => {
        wasCut = true
        response.socket?.destroy()
      })
    },
    reset() {
      wasCut = true
      response.socket?.destroy()
    },
    refuse(status, headers = {}) {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify({ type: 'error', error: { type: 'some_error', message: providerSecret } }))
    },
  }
}

/** The text of the last message that the provider received. */
export function promptOf({ body }: ProviderCall): string {
  return (body.messages.at(-1)?.content ?? []).map(({ text = '' }) => text).join('')
}

/** What the provider says in its refusals; no user may ever see it. */
export const providerSecret = 'raw words of the provider'
