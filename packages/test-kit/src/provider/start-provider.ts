/**
 * A provider for the real SDK: an HTTP server of Anthropic's wire protocol that does what the test says. It can hold an
 * answer, break a frame, cut at a chosen place, and tell whether its caller has hung up. A request that Anthropic's
 * documentation calls wrong gets a 400 in Anthropic's words and no reply of the test's (rules.ts, signatures.ts).
 */
import type { IncomingHttpHeaders, IncomingMessage, ServerResponse } from 'node:http'
import { text as textOfStream } from 'node:stream/consumers'
import { listen } from '../http/listen.ts'
import { blockStop, callEnd, frameOf, textDelta } from './events.ts'
import type { ProviderEvent } from './events.ts'
import { createAdopter } from './adopt-signatures.ts'
import { bindingBeta, createJudge } from './judge.ts'
import type { Judged, ProviderOptions } from './judge.ts'
import type { ProviderBody, RequestBlock } from './request.ts'
import type { Transformation } from './signatures.ts'

/** One request to the provider, and the way to answer it. */
export interface ProviderCall {
  readonly headers: IncomingHttpHeaders
  readonly body: ProviderBody
  /** The request's JSON as it came. */
  readonly json: string
  /** What the model counts for the request. */
  readonly tokens: number
  /** Thinking of the request that the model does not get to see. */
  readonly dropped: readonly Transformation[]
  /** A signature for thinking of this answer that stands behind `before`. */
  sign(before?: readonly RequestBlock[]): string
  /** A summary of the request's messages, as the answer to a request for one. */
  compact(content: string): RequestBlock
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
  /** Refuses in Anthropic's words: 413 for `request_too_large`, else 400. */
  refuseAs(type: 'invalid_request_error' | 'request_too_large', message: string): void
  /** Answers 200 with a body that is no stream of events. */
  answer(contentType: string, body: string): void
}

export type ProviderReply = (call: ProviderCall) => void | Promise<void>

export interface Provider extends AsyncDisposable {
  readonly url: string
  /** The requests that were accepted. */
  readonly calls: readonly ProviderCall[]
  /** What was wrong with those that were not. */
  readonly complaints: readonly string[]
}

/** Answers the first request with the first reply and so on; one request too many is a 418, which no client retries. */
export async function startProvider(...replies: readonly ProviderReply[]): Promise<Provider> {
  return await startProviderOf((_call, nth) => replies[nth] ?? ((call) => call.refuse(418)))
}

/** Answers each request with what `replyTo` says. */
export async function startProviderOf(
  replyTo: (call: ProviderCall, nth: number) => ProviderReply,
  options: ProviderOptions = {},
): Promise<Provider> {
  const calls: ProviderCall[] = []
  const complaints: string[] = []
  const judge = createJudge(options)
  const { url, [Symbol.asyncDispose]: close } = await listen((incoming, response) => {
    void textOfStream(incoming).then(async (json) => {
      const judged = judge(json, incoming.headers)
      if (judged.complaint !== undefined) {
        complaints.push(judged.complaint)
        const isTooLarge = judged.complaint.startsWith('Request exceeds')
        refuseAs(response, isTooLarge ? 'request_too_large' : 'invalid_request_error', judged.complaint)
        return
      }
      const call = createCall(incoming, response, { json, ...judged })
      calls.push(call)
      await replyTo(call, calls.length - 1)(call)
    })
  })
  return { url, calls, complaints, [Symbol.asyncDispose]: close }
}

/** A refusal in Anthropic's words. */
function refuseAs(response: ServerResponse, type: string, message: string): void {
  response.writeHead(type === 'request_too_large' ? 413 : 400, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ type: 'error', error: { type, message } }))
}

function createCall(
  incoming: IncomingMessage,
  response: ServerResponse,
  { body, json, tokens, dropped, signer, sent }: Judged & { json: string },
): ProviderCall {
  const tells = String(incoming.headers['anthropic-beta'] ?? '').includes(bindingBeta)
  return {
    headers: incoming.headers,
    body,
    json,
    tokens,
    dropped,
    sign: (before = []) => signer.sign(body, before),
    compact: (content) => signer.compact(body, content),
    ...streamOf(response, {
      onSent: [createAdopter(signer, body), sent.record()],
      told: tells ? dropped : undefined,
    }),
    ...otherAnswers(response),
  }
}

type StreamedAnswer = Pick<ProviderCall, 'hungUp' | 'write' | 'send' | 'end' | 'finish' | 'cut' | 'reset'>

interface Streaming {
  readonly onSent: readonly ((event: ProviderEvent) => void)[]
  /** What `message_start` tells of the request, to a caller that asks for it. */
  readonly told: readonly Transformation[] | undefined
}

function streamOf(response: ServerResponse, { onSent, told }: Streaming): StreamedAnswer {
  let wasCut = false
  const open = () => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream; charset=utf-8' })
  }
  const write = (part: string) => {
    open()
    response.write(part)
  }
  const send = (...events: readonly ProviderEvent[]) => {
    for (const take of onSent) events.forEach(take)
    write(events.map((event) => frameOf(withTransformations(event, told))).join(''))
  }
  const end = () => {
    open()
    response.end()
  }
  return {
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
  }
}

/** Source: "Preserved thinking": `input_transformations`, on the `message_start` event when streaming. */
function withTransformations(event: ProviderEvent, told: readonly Transformation[] | undefined): ProviderEvent {
  if (event.type !== 'message_start' || told === undefined) return event
  return { ...event, message: { ...(event['message'] as object), input_transformations: told } }
}

/** What is no stream of events. */
function otherAnswers(response: ServerResponse): Pick<ProviderCall, 'refuse' | 'refuseAs' | 'answer'> {
  return {
    refuse(status, headers = {}) {
      response.writeHead(status, { 'content-type': 'application/json', ...headers })
      response.end(JSON.stringify({ type: 'error', error: { type: 'some_error', message: providerSecret } }))
    },
    refuseAs: (type, message) => refuseAs(response, type, message),
    answer(contentType, answer) {
      response.writeHead(200, { 'content-type': contentType }).end(answer)
    },
  }
}

/** The text of the last message that the provider received. */
export function promptOf({ body }: ProviderCall): string {
  return (body.messages.at(-1)?.content ?? []).map(({ text = '' }) => text).join('')
}

/** What the provider says in its refusals; no user may ever see it. */
export const providerSecret = 'raw words of the provider'
