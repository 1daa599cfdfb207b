/** A server of Anthropic's wire protocol, scripted by a test: the real SDK talks to it. */
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import { once } from 'node:events'
import { json } from 'node:stream/consumers'

/** Yields the answer's tokens; throws to refuse the prompt. The signal aborts when the caller hangs up. */
export type Script = (prompt: string, signal: AbortSignal) => AsyncIterable<string>

export interface Provider extends AsyncDisposable {
  readonly url: string
}

export async function startProvider(script: Script): Promise<Provider> {
  const server = createServer((request, response) => {
    const hungUp = new AbortController()
    response.on('close', () => hungUp.abort())
    const answer = json(request).then(async (body) => await stream(response, script(promptOf(body), hungUp.signal)))
    answer.catch((error: unknown) => refuse(response, error))
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  if (address === null || typeof address === 'string') throw new Error('The provider has no port')
  return {
    url: `http://127.0.0.1:${address.port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

function promptOf(body: unknown): string {
  const { messages } = body as { messages: { content: string | { text?: string }[] }[] } // as the SDK sends it
  const content = messages.at(-1)?.content ?? ''
  return typeof content === 'string' ? content : content.map((block) => block.text ?? '').join('')
}

async function stream(response: ServerResponse, tokens: AsyncIterable<string>): Promise<void> {
  const send = (event: { type: string; [field: string]: unknown }): void => {
    if (!response.headersSent) response.writeHead(200, { 'content-type': 'text/event-stream' })
    response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`)
  }
  const start = (): void => {
    const usage = { input_tokens: 7, output_tokens: 0 }
    const message = { id: 'msg_1', type: 'message', role: 'assistant', model: 'scripted-1', content: [], usage }
    send({ type: 'message_start', message })
    send({ type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } })
  }
  let count = 0
  for await (const text of tokens) {
    if (count++ === 0) start()
    send({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })
  }
  send({ type: 'content_block_stop', index: 0 })
  const delta = { stop_reason: 'end_turn', stop_sequence: null }
  send({ type: 'message_delta', delta, usage: { output_tokens: count } })
  send({ type: 'message_stop' })
  response.end()
}

function refuse(response: ServerResponse, error: unknown): void {
  if (response.headersSent) return void response.destroy()
  const message = error instanceof Error ? error.message : String(error)
  response.writeHead(400, { 'content-type': 'application/json' })
  response.end(JSON.stringify({ type: 'error', error: { type: 'invalid_request_error', message } }))
}
