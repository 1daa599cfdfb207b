/** The app's own tests: they start it, beside a model of their own, and know nothing of how it keeps its streams. */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { on, once } from 'node:events'
import { createServer } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, test } from 'node:test'
import { DefaultChatTransport, readUIMessageStream } from 'ai'
import type { UIMessage, UIMessageChunk } from 'ai'

const open: ServerResponse[] = []
let asked = 0
const send = (response: ServerResponse, ...events: { type: string }[]) =>
  events.forEach((event) => response.write(`event: ${event.type}\ndata: ${JSON.stringify(event)}\n\n`))
const delta = (text: string) => ({ type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } })

/** Says the half of its answer, and the rest when the test wants it. */
const model = createServer((request, response) => {
  request.resume()
  asked++
  const message = { id: 'm', type: 'message', role: 'assistant', model: 'a-model', content: [], stop_reason: null }
  const usage = { input_tokens: 1, output_tokens: 1 }
  response.writeHead(200, { 'content-type': 'text/event-stream' })
  send(response, { type: 'message_start', message: { ...message, usage } } as { type: string })
  send(response, { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } } as {
    type: string
  })
  send(response, delta('Half of it'))
  open.push(response)
})

function finish(): void {
  const end = { stop_reason: 'end_turn', stop_sequence: null }
  for (const response of open.splice(0)) {
    send(response, delta(' and the rest'), { type: 'content_block_stop', index: 0 } as { type: string })
    send(response, { type: 'message_delta', delta: end, usage: { output_tokens: 4 } } as { type: string }, {
      type: 'message_stop',
    })
    response.end()
  }
}

let app: ChildProcess
let transport: DefaultChatTransport<UIMessage>

before(async () => {
  model.listen(0, '127.0.0.1')
  await once(model, 'listening')
  const ANTHROPIC_BASE_URL = `http://127.0.0.1:${(model.address() as AddressInfo).port}/v1`
  const env = { ...process.env, PORT: '0', ANTHROPIC_BASE_URL, ANTHROPIC_API_KEY: 'a-key' }
  app = spawn(process.execPath, [...process.execArgv, 'server.ts'], {
    cwd: import.meta.dirname,
    env,
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  let shown = ''
  for await (const [chunk] of on(app.stdout ?? process.stdin, 'data')) {
    shown += String(chunk)
    if (shown.includes('\n')) break
  }
  transport = new DefaultChatTransport({ api: `${/http:\S+/.exec(shown)?.[0]}/api/chat` })
})

after(() => {
  app.kill()
  model.close()
  model.closeAllConnections()
})

async function ask(chatId: string, text: string, earlier: UIMessage[] = []): Promise<ReadableStream<UIMessageChunk>> {
  const message: UIMessage = { id: crypto.randomUUID(), role: 'user', parts: [{ type: 'text', text }] }
  const messages = [...earlier, message]
  return await transport.sendMessages({
    chatId,
    messages,
    trigger: 'submit-message',
    messageId: undefined,
    abortSignal: undefined,
  })
}

const textOf = (message: UIMessage) => message.parts.map((part) => (part.type === 'text' ? part.text : '')).join('')

/** Reads an answer until its text ends with `end`. */
async function read(stream: ReadableStream<UIMessageChunk>, end: string, reached = () => {}): Promise<string> {
  let text = ''
  for await (const message of readUIMessageStream({ stream })) {
    text = textOf(message)
    if (text.endsWith(end)) reached()
  }
  return text
}

void test('An answer streams, and a second reader that comes in its middle has all of it', async () => {
  const half = Promise.withResolvers<void>()
  const first = read(await ask('chat-1', 'Hello'), 'Half of it', half.resolve)
  await half.promise
  const resumed = await transport.reconnectToStream({ chatId: 'chat-1' })
  assert.ok(resumed)
  const second = read(resumed, 'Half of it', finish)
  assert.equal(await first, 'Half of it and the rest')
  assert.equal(await second, 'Half of it and the rest')
  assert.equal(asked, 1)
})

void test('A chat that is idle, or new, has nothing to resume', async () => {
  assert.equal(await transport.reconnectToStream({ chatId: 'chat-1' }), null)
  assert.equal(await transport.reconnectToStream({ chatId: 'chat-2' }), null)
})

void test('An answer is whole although its reader has left, and the chat is there when the page is loaded again', async () => {
  const leave = new AbortController()
  const message: UIMessage = { id: 'client-made', role: 'user', parts: [{ type: 'text', text: 'And now?' }] }
  const stream = await transport.sendMessages({
    chatId: 'chat-3',
    messages: [message],
    trigger: 'submit-message',
    messageId: undefined,
    abortSignal: leave.signal,
  })
  await read(stream, 'Half of it', () => leave.abort()).catch(() => {})
  finish()
  for (;;) {
    const response = await fetch(`${(transport as unknown as { api: string }).api}/chat-3`)
    const { messages } = (await response.json()) as { messages: UIMessage[] }
    if (messages.map(textOf).join('|') === 'And now?|Half of it and the rest') break
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
})
