/**
 * Odd answers of providers and gateways, a file each in `streams`, made here. Each is read in one piece and in two, cut at every
 * byte: what comes of it may not depend on how the network cut it.
 */
import { readFileSync, readdirSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { Anthropic } from '@anthropic-ai/sdk'
import { emptyAnswer, isVerbatimError, reduceEvents, textOfResult } from '@verbatim/core'
import type { AgentEvent, ContentBlock } from '@verbatim/core'
import { claude, tool } from '@verbatim/core/claude'
import { agentRequest } from '@verbatim/core/testing'
import { frameOf, callEnd, callStart, textBlock } from '@verbatim/test-kit/provider'
import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { Session } from '../model/conversation-session.ts'

const folder = new URL('streams/', import.meta.url)
const types: Readonly<Record<string, string>> = {
  sse: 'text/event-stream',
  json: 'application/json',
  html: 'text/html',
}
const done = new TextEncoder().encode([callStart(), ...textBlock('Done.'), ...callEnd()].map(frameOf).join(''))

const never = new AbortController().signal

interface Outcome {
  readonly said: readonly string[]
  /** What the tool ran on. */
  readonly inputs: readonly string[]
  readonly failure: unknown
}

/** The real agent and SDK, with the network replaced: the first answer is the parts that are given, the others say that they are done. */
function createReplay(contentType: string): (parts: readonly Uint8Array[]) => Promise<Outcome> {
  let answers: (readonly Uint8Array[])[] = []
  let inputs: string[] = []
  const fetch = async () => {
    const answer = answers.shift()
    const headers = { 'content-type': answer === undefined ? 'text/event-stream' : contentType }
    return new Response(streamOf(answer ?? [done]), { headers })
  }
  const echo = tool({
    name: 'echo',
    description: 'Says it again',
    input: z.looseObject({}),
    run: (input) => {
      inputs.push(JSON.stringify(input))
      return 'ok'
    },
  })
  const client = new Anthropic({ apiKey: 'k', fetch, logLevel: 'off' })
  const agent = claude({ client, tools: [echo], maxRetries: 0 })
  const session = new Session()
  session.append('user', [{ type: 'text', text: 'Hi' }])
  const request = agentRequest({ messages: session.messages })
  return async (parts) => {
    answers = [parts]
    inputs = []
    const events: AgentEvent[] = []
    let failure: unknown
    try {
      for await (const event of agent.stream(request, never)) if (event.type !== 'ping') events.push(event)
    } catch (error) {
      failure = isVerbatimError(error) ? [error.data.kind, error.data.field ?? ''].join(' ').trim() : error
    }
    return { said: reduceEvents(emptyAnswer, { firstSeq: 1, events }).content.map(inWords), inputs, failure }
  }
}

function streamOf(parts: readonly Uint8Array[]): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start(controller) {
      for (const part of parts) controller.enqueue(part)
      controller.close()
    },
  })
}

function inWords(block: ContentBlock): string {
  if (block.type === 'text') return block.text
  if (block.type === 'tool_result') {
    const said = textOfResult(block.content)
    return block.is_error ? `error: ${said.slice(0, 30)}` : said
  }
  return block.type === 'tool_use' ? `${block.name}(${block.inputJson ?? JSON.stringify(block.input)})` : block.type
}

const hello = { said: ['Hello'], inputs: [], failure: undefined }
const notRun = 'error: The input of this call was not'

function ranOn(...inputs: readonly string[]) {
  return {
    said: [...inputs.map((json) => `echo(${json})`), ...inputs.map(() => 'ok'), 'Done.'],
    inputs,
    failure: undefined,
  }
}

function failsAs(failure: string, ...said: readonly string[]) {
  return { said, inputs: [], failure }
}

const largeNumbers = '{"id": 2512292042121000001, "x": 0.1, "big": 1e400}'

/** What each file comes to; {@link hello} where nothing is said here. */
const expected: Readonly<Record<string, Outcome>> = {
  'characters-of-several-bytes.sse': { ...hello, said: ['Grüße 👋🏽，再见'] },
  'message-start-again-after-content.sse': failsAs('malformed message_start', 'Hello'),
  'signature-null.sse': { ...hello, said: ['thinking', 'Hello'] },
  'tool-start-without-input.sse': ranOn('{"a":1}'),
  'tool-start-with-whole-input.sse': ranOn('{"id":7}'),
  'tool-start-with-a-large-number.sse': ranOn('{"id":"2512292042121000001"}'),
  'tool-without-id.sse': ranOn('{"a":1}'),
  'tool-without-name.sse': failsAs('malformed content_block_start.content_block.name'),
  'tools-interleaved.sse': ranOn('{"a":1}', '{"b":2}'),
  'tools-of-one-id.sse': ranOn('{"a":1}', '{"a":2}'),
  'tool-sent-twice.sse': {
    ...ranOn('{"a":1}'),
    said: ['echo({"a":1})', 'echo({"a":1})', 'ok', 'error: This call is the same as the o', 'Done.'],
  },
  'tool-input-cut.sse': { said: ['echo({"a":1,"te)', notRun, 'Done.'], inputs: [], failure: undefined },
  'tool-input-not-begun-at-max-tokens.sse': { said: ['echo({})', notRun, 'Done.'], inputs: [], failure: undefined },
  'tool-without-input.sse': ranOn('{}'),
  'tool-without-stop.sse': ranOn('{"a":1}'),
  'tool-without-stop-or-input.sse': { said: ['echo({})', notRun, 'Done.'], inputs: [], failure: undefined },
  'tool-input-with-large-numbers.sse': {
    ...ranOn('{"id":"2512292042121000001","x":0.1,"big":"1e400"}'),
    said: [`echo(${largeNumbers})`, 'ok', 'Done.'],
  },
  'tool-with-end-turn.sse': ranOn('{"a":1}'),
  'tool-with-stop-reason-null.sse': ranOn('{"a":1}'),
  'tool-with-refusal.sse': { said: ['echo({"a":1})'], inputs: [], failure: undefined },
  'zero-width-space-only.sse': failsAs('empty', '\u200b\u2060'),
  'no-content.sse': failsAs('empty'),
  'only-thinking-at-max-tokens.sse': failsAs('max_tokens', 'thinking'),
  'refusal.sse': { ...hello, said: ['I can'] },
  'cut-in-text.sse': failsAs('cut', 'Hel'),
  'error-event.sse': failsAs('overloaded'),
  'error-without-event-line.sse': failsAs('overloaded'),
  'error-event-of-plain-text.sse': failsAs('server_error'),
  'not-json.sse': failsAs('malformed data'),
  'delta-without-start.sse': failsAs('malformed content_block_delta.index'),
  'error.json': failsAs('overloaded'),
  'error-of-another-api.json': failsAs('server_error'),
  'other.json': failsAs('malformed content-type'),
  'page.html': failsAs('malformed content-type'),
}

describe('an odd answer of a provider', () => {
  it.each(readdirSync(folder))('the answer %s comes to the same wherever the network cuts it', async (file) => {
    const bytes = readFileSync(new URL(file, folder))
    const replay = createReplay(types[file.split('.').at(-1) ?? ''] ?? '')
    const outcome = expected[file] ?? hello
    expect(await replay([bytes])).toEqual(outcome)
    const differing: unknown[] = []
    for (let at = 1; at < bytes.length; at++) {
      const cut = await replay([bytes.subarray(0, at), bytes.subarray(at)])
      if (!isDeepStrictEqual(cut, outcome)) differing.push({ at, ...cut })
    }
    expect(differing).toEqual([])
  })

  it('each expected answer of the corpus has its file', () => {
    expect(readdirSync(folder)).toEqual(expect.arrayContaining(Object.keys(expected)))
  })
})
