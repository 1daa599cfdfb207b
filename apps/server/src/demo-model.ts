/**
 * A stand-in for Claude, for users without a key: a real server of Anthropic's wire protocol with canned words.
 * In: any prompt. Out: a Markdown answer at the pace of a model, so that the user can try streaming, stopping and resuming.
 */
import type { RequestListener } from 'node:http'
import { createServer } from '@copilotkit/aimock'
import type { ChatCompletionRequest, Fixture, TextResponse } from '@copilotkit/aimock'
import { continuationPrompt } from '@verbatim/core'
import { demoAnswer } from './demo-answer.ts'

/** About the length of an English token, in UTF-16 units. */
const tokenLength = 4

export interface DemoModelOptions {
  /** @default 40, a quick reader's pace: an answer takes about seven seconds */
  readonly tokensPerSecond?: number
  /** From the request to the first token, in milliseconds. @default 150 */
  readonly firstTokenMs?: number
}

export interface DemoModel {
  /** For `claude({ baseURL, apiKey: 'demo' })`: any key will do. */
  readonly baseURL: string
  /** Cuts the open answers and frees the port. */
  close(): Promise<void>
}

/** Starts the demo model on a free port of the loopback address. */
export async function startDemoModel(options: DemoModelOptions = {}): Promise<DemoModel> {
  const { tokensPerSecond = 40, firstTokenMs = 150 } = options
  const fixture: Fixture = {
    match: { predicate: () => true },
    response: answer,
    chunkSize: tokenLength,
    streamingProfile: { ttft: firstTokenMs, tps: tokensPerSecond },
  }
  const { server, url } = await createServer([fixture], { host: '127.0.0.1', port: 0, journalMaxEntries: 1 })
  const handle = server.listeners('request') as RequestListener[] // what http.Server calls for a request
  server.removeAllListeners('request')
  server.on('request', (request, response) => {
    // The mock's other paths reveal earlier prompts to any web page that finds the port.
    if (request.method !== 'POST' || request.url?.split('?')[0] !== '/v1/messages') {
      response.writeHead(404).end()
      return
    }
    // Without an end the mock writes on into a closed response.
    response.on('close', () => response.end())
    for (const listener of handle) listener(request, response)
  })
  return {
    baseURL: url,
    close: () =>
      new Promise((resolve, reject) => {
        server.close((error) => (error === undefined ? resolve() : reject(error)))
        server.closeAllConnections()
      }),
  }
}

function answer({ messages }: ChatCompletionRequest): TextResponse {
  const content = restOfAnswer(messages)
  const read = messages.reduce((sum, message) => sum + textOf(message.content).length, 0)
  return {
    content,
    usage: { input_tokens: Math.ceil(read / tokenLength), output_tokens: Math.ceil(content.length / tokenLength) },
  }
}

/** The whole answer, or what is left of one that a lost server had begun. */
function restOfAnswer(messages: ChatCompletionRequest['messages']): string {
  const prompts = messages.filter(({ role, content }) => role === 'user' && textOf(content) !== continuationPrompt)
  const prompt = prompts.at(-1)
  const whole = demoAnswer({ prompt: textOf(prompt?.content ?? ''), turn: prompts.length })
  const said = prompt === undefined ? [] : messages.slice(messages.indexOf(prompt) + 1)
  const begun = said.map(({ role, content }) => (role === 'assistant' ? textOf(content) : '')).join('')
  return whole.startsWith(begun) && begun !== whole ? whole.slice(begun.length) : whole
}

function textOf(content: ChatCompletionRequest['messages'][number]['content']): string {
  if (typeof content === 'string') return content
  return (content ?? []).map((part) => ('text' in part && typeof part.text === 'string' ? part.text : '')).join('')
}
