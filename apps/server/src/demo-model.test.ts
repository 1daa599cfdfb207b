import { once } from 'node:events'
import { createConnection } from 'node:net'
import { claude } from '@verbatim/core/claude'
import type { Message } from '@verbatim/core'
import { AgentEvent, emptyAnswer, reduceEvents, textOf } from '@verbatim/core'
import { agentRequest } from '@verbatim/core/testing'
import { describe, expect, it, onTestFinished } from 'vitest'
import { demoAnswer } from './demo-answer.ts'
import { startDemoModel } from './demo-model.ts'
import type { DemoModelOptions } from './demo-model.ts'

const never = new AbortController().signal
const quick = { tokensPerSecond: 100_000, firstTokenMs: 0 }

async function start(options: DemoModelOptions = quick) {
  const demo = await startDemoModel(options)
  onTestFinished(async () => await demo.close().catch(() => {})) // some tests have closed it themselves
  return demo
}

function conversation(...texts: readonly string[]): Message[] {
  return texts.map((text, at) => ({
    id: crypto.randomUUID(),
    sessionId: 'session-1',
    seq: at + 1,
    role: at % 2 === 0 ? ('user' as const) : ('assistant' as const),
    content: [{ type: 'text' as const, text }],
    status: 'completed' as const,
    agentId: null,
    runId: null,
    continuationOf: null,
    retryOf: null,
    output: null,
    data: [],
    metrics: null,
    createdAt: '2026-11-23T00:00:00.000Z',
  }))
}

function ask(baseURL: string, messages: Message[], signal = never) {
  const agent = claude({ baseURL, apiKey: 'demo', model: 'demo', maxRetries: 0 })
  return agent.stream(agentRequest({ messages }), signal)
}

async function answerTo(baseURL: string, ...texts: readonly string[]) {
  const events: AgentEvent[] = []
  for await (const event of ask(baseURL, conversation(...texts))) events.push(AgentEvent.parse(event))
  return { events, text: textOf(reduceEvents(emptyAnswer, { firstSeq: 1, events }).content) }
}

describe('the demo model', () => {
  it('the demo model streams an answer that says it is canned and quotes the prompt', async () => {
    const { baseURL } = await start()
    const { events, text } = await answerTo(baseURL, 'Hello', 'Hi', 'How do streams work?')
    expect(text).toBe(demoAnswer({ prompt: 'How do streams work?', turn: 2 }))
    expect(text).toContain('no real model runs here')
    expect(text).toContain('> How do streams work?')
    expect(text).toContain('the last of 2 that I was given')
    const deltas = events.filter(({ type }) => type === 'content_block_delta')
    expect(deltas).toHaveLength(Math.ceil(text.length / 4))
    expect(events[0]).toMatchObject({ message: { model: 'demo', usage: { input_tokens: 7 } } })
    expect(events.at(-2)).toMatchObject({
      delta: { stop_reason: 'end_turn' },
      usage: { output_tokens: deltas.length },
    })
  })

  it('the demo model keeps the given pace', async () => {
    const { baseURL } = await start({ tokensPerSecond: 50, firstTokenMs: 1 })
    const startedMs = performance.now()
    let deltas = 0
    for await (const event of ask(baseURL, conversation('Hi'))) {
      if (event.type === 'content_block_delta' && ++deltas === 20) break
    }
    // 20 ms a frame and two frames before the first delta; slower on a busy machine, never quicker.
    expect(performance.now() - startedMs).toBeGreaterThan(20 * 20)
  })

  it('the demo model answers other readers after one leaves in mid-answer', async () => {
    const { baseURL } = await start({ tokensPerSecond: 1_000, firstTokenMs: 0 })
    for (let reader = 0; reader < 5; reader++) {
      for await (const event of ask(baseURL, conversation('Hi'))) {
        if (event.type === 'content_block_delta') break
      }
    }
    const { text } = await answerTo(baseURL, 'Still there?')
    expect(text).toContain('> Still there?')
  })

  it('a closing demo model cuts its open answers and frees the port', async () => {
    const demo = await start({ tokensPerSecond: 1, firstTokenMs: 0 })
    const reading = (async () => {
      for await (const event of ask(demo.baseURL, conversation('Hi'))) {
        if (event.type === 'content_block_start') await demo.close()
      }
    })()
    await expect(reading).rejects.toMatchObject({ code: 'PROVIDER_ERROR', data: { kind: 'cut' } })
    const socket = createConnection(Number(new URL(demo.baseURL).port), '127.0.0.1')
    const [error] = await once(socket, 'error')
    expect(error).toMatchObject({ code: 'ECONNREFUSED' })
  })

  it('the demo model does not reveal earlier prompts', async () => {
    const { baseURL } = await start()
    await answerTo(baseURL, 'My secret')
    for (const path of ['/__aimock/journal', '/v1/_requests', '/', '/health']) {
      const response = await fetch(baseURL + path)
      expect([response.status, await response.text()]).toEqual([404, ''])
    }
  })
})

describe('a demo answer', () => {
  const prompts = [
    'Hi',
    'Explain async iteration',
    'Write a function',
    'What if the server crashes?',
    'x'.repeat(5_000),
    '',
  ]

  it.each(prompts)(
    'a demo answer has headings, a list and a code block, and streams for some seconds: %#',
    (prompt) => {
      const text = demoAnswer({ prompt, turn: 1 })
      expect(text.match(/^## /gm)).toHaveLength(3)
      expect(text).toMatch(/^(- |1\. )/m)
      expect(text.match(/^```/gm)?.length).toBeGreaterThanOrEqual(2)
      const words = text.split(/\s+/).length
      expect(words).toBeGreaterThan(120)
      expect(words).toBeLessThan(260)
    },
  )

  it('a demo answer depends on the subject of the prompt, and is the same for the same prompt', () => {
    const about = (prompt: string) => demoAnswer({ prompt, turn: 1 }).match(/^## .+$/gm)?.[1]
    expect(demoAnswer({ prompt: 'Hi', turn: 1 })).toBe(demoAnswer({ prompt: 'Hi', turn: 1 }))
    expect(about('Show me code')).toBe('## The same in a program')
    expect(about('And if it crashes?')).toBe('## Try to lose some of this')
    expect(about('Where are my tokens stored?')).toBe('## How these words reach you')
  })

  it('a prompt for a long answer gets a long one', () => {
    expect(demoAnswer({ prompt: 'A long story, please', turn: 1 }).split(/\s+/).length).toBeGreaterThan(330)
  })

  it('a demo answer escapes the markup of the prompt', () => {
    const text = demoAnswer({ prompt: '![x](https://example.com/x.png)\n# Big <b>', turn: 1 })
    expect(text).toContain('> \\!\\[x\\](https://example.com/x.png) \\# Big \\<b\\>')
  })

  it('a demo answer cuts no character in two', () => {
    expect(demoAnswer({ prompt: '👩‍🚀'.repeat(200), turn: 1 }).isWellFormed()).toBe(true)
  })
})
