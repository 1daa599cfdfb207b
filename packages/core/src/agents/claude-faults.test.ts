import { Anthropic } from '@anthropic-ai/sdk'
import { listen } from '@verbatim/test-kit/http'
import {
  callEnd,
  callStart,
  cuttingAfter,
  providerSecret,
  refusing,
  saying,
  startProvider,
  streaming,
  textBlock,
} from '@verbatim/test-kit/provider'
import type { ProviderEvent, ProviderReply } from '@verbatim/test-kit/provider'
import { describe, expect, it, vi } from 'vitest'
import { isVerbatimError } from '../contract/errors.ts'
import type { AgentEvent } from '../contract/event.ts'
import { emptyAnswer, reduceEvents } from '../contract/reduce-events.ts'
import { claude } from './claude.ts'
import type { ClaudeOptionsInput } from './claude.ts'
import { ask as askAgent, claudeAt, collect, never, requestOf, secretKey, withoutPings } from './testing/ask-agent.ts'

// The SDK takes hold of console.error at its first line, so the spy is there before it.
const printed = vi.spyOn(console, 'error')
const start = callStart()
const whole = saying('Hello')
const begun = [start, ...textBlock('Hel').slice(0, 2)]

async function ask(replies: readonly ProviderReply[], options: ClaudeOptionsInput = {}) {
  const asked = await askAgent(replies, options)
  const shown = isVerbatimError(asked.error) ? asked.error.toWire() : asked.error
  expect(JSON.stringify([asked.events, shown])).not.toMatch(/sk-ant|secret prompt|raw words|127\.0\.0\.1/)
  expect(printed).not.toHaveBeenCalled()
  return asked
}

function textOfEvents(events: readonly AgentEvent[]) {
  return reduceEvents(emptyAnswer, { firstSeq: 1, events: [...events] })
    .content.map((block) => (block.type === 'text' ? block.text : ''))
    .join('')
}

function errorEvent(type: string) {
  return { type: 'error', error: { type, message: providerSecret } }
}

const reset: ProviderReply = (call) => call.reset()
const broken =
  (...events: ProviderEvent[]): ProviderReply =>
  (call) => {
    call.send(...events)
    call.write(brokenFrame)
    call.end()
  }
const brokenFrame = 'event: content_block_delta\ndata: {"type":"content_block_delta","ind\n\n'

describe('before the first content', () => {
  it.each<[string, ProviderReply, { kind: string; providerStatus?: number; field?: string }]>([
    ['429', refusing(429), { kind: 'rate_limit', providerStatus: 429 }],
    ['529', refusing(529), { kind: 'overloaded', providerStatus: 529 }],
    ['500', refusing(500), { kind: 'server_error', providerStatus: 500 }],
    ['503', refusing(503), { kind: 'server_error', providerStatus: 503 }],
    ['408', refusing(408), { kind: 'server_error', providerStatus: 408 }],
    ['a reset connection', reset, { kind: 'network' }],
    ['an error event', streaming(errorEvent('overloaded_error')), { kind: 'overloaded', providerStatus: 529 }],
    [
      'an error event after message_start',
      streaming(start, errorEvent('api_error')),
      { kind: 'server_error', providerStatus: 500 },
    ],
    ['a stream cut after message_start', cuttingAfter(start), { kind: 'cut' }],
    ['an empty stream', streaming(), { kind: 'cut' }],
    ['a stream that ends early', streaming(start), { kind: 'cut' }],
    ['a malformed frame', broken(), { kind: 'malformed', field: 'data' }],
    [
      'an event that breaks the protocol',
      streaming(start, { type: 'content_block_stop' }),
      { kind: 'malformed', field: 'content_block_stop.index' },
    ],
  ])(
    '%s before the first content is retried, shown as a retry, and leaves nothing else in the log',
    async (_name, fault, data) => {
      const { events, error, calls } = await ask([fault, fault, whole])
      expect(error).toBeUndefined()
      const error0 = { code: 'PROVIDER_ERROR', message: expect.any(String), retryable: true, data }
      expect(events.slice(0, 2)).toEqual([
        { type: 'run_retrying', attempt: 1, delayMs: 0, error: error0 },
        { type: 'run_retrying', attempt: 2, delayMs: 0, error: error0 },
      ])
      expect(events.slice(2).map(({ type }) => type)).toEqual([
        'message_start',
        'content_block_start',
        'content_block_delta',
        'content_block_stop',
        'message_delta',
        'message_stop',
      ])
      expect(textOfEvents(events)).toBe('Hello')
      expect(calls).toHaveLength(3)
    },
  )

  it('a provider that does not answer is retried until it does', async () => {
    const port = await freePort()
    const events = claudeAt(`http://127.0.0.1:${port}`, { maxRetries: 2 }).stream(requestOf('Hi'), never)
    const { events: seen, error } = await collect(events)
    expect(seen.map(({ type }) => type)).toEqual(['run_retrying', 'run_retrying'])
    expect(error).toMatchObject({ code: 'PROVIDER_ERROR', data: { kind: 'network' } })
  })

  it('retries end after maxRetries with the last error', async () => {
    const { events, error, calls } = await ask(Array.from({ length: 9 }, () => refusing(529)))
    expect(events.map((event) => (event.type === 'run_retrying' ? event.attempt : event.type))).toEqual([1, 2, 3, 4])
    expect(calls).toHaveLength(5)
    expect(error).toMatchObject({ code: 'PROVIDER_ERROR', data: { kind: 'overloaded', providerStatus: 529 } })
  })

  it('each model call of a run has retries of its own', async () => {
    const paused = streaming(start, ...textBlock('Hel'), ...callEnd('pause_turn'))
    const { events, error } = await ask([refusing(529), paused, refusing(529), whole], { maxRetries: 1 })
    expect(error).toBeUndefined()
    expect(events.filter(({ type }) => type === 'run_retrying')).toHaveLength(2)
    expect(textOfEvents(events)).toBe('HelHello')
  })

  it('the waits between retries are random and double their span', async () => {
    const { events } = await ask([refusing(529), refusing(529), whole], { random: () => 0.1 })
    expect(events.slice(0, 2)).toMatchObject([{ delayMs: 50 }, { delayMs: 100 }])
  })

  it.each([
    ['seconds', { 'retry-after': '0.2' }, 200],
    ['milliseconds', { 'retry-after-ms': '30', 'retry-after': '9' }, 30],
    ['a date', { 'retry-after': 'Mon, 23 Nov 2026 12:00:01 GMT' }, 1_000],
    ['a date that is past', { 'retry-after': 'Mon, 23 Nov 2026 11:00:00 GMT' }, 0],
  ])('the agent honours retry-after in %s', async (_unit, headers, delayMs) => {
    const { events } = await ask([refusing(429, headers), whole])
    expect(events[0]).toMatchObject({ type: 'run_retrying', delayMs, error: { data: { retryAfterMs: delayMs } } })
  })

  it('the agent does not begin a wait that is longer than the run may live', async () => {
    const { events, error } = await ask([refusing(429, { 'retry-after': '3600' }), whole])
    expect(events).toEqual([])
    expect(error).toMatchObject({ data: { kind: 'rate_limit', retryAfterMs: 3_600_000 } })
  })

  it('a refusal that the provider calls final is not retried', async () => {
    const { error, calls } = await ask([refusing(429, { 'x-should-retry': 'false' }), whole])
    expect(error).toMatchObject({ data: { kind: 'limit', providerStatus: 429 } })
    expect(calls).toHaveLength(1)
  })

  it.each([
    [400, 'invalid_request', /refused the request as invalid/],
    [401, 'credentials', /refused the credentials/],
    [402, 'billing', /billing/],
    [403, 'permission', /denied access/],
    [404, 'not_found', /does not know the model/],
    [413, 'too_large', /larger than the provider takes/],
    [418, 'refused', /refused the request/],
  ])('status %i fails at once and names the kind of problem', async (status, kind, message) => {
    const { events, error, calls } = await ask([refusing(status), whole])
    expect(events).toEqual([])
    expect(error).toMatchObject({ code: 'PROVIDER_REFUSED', message: expect.stringMatching(message) })
    expect(error).toMatchObject({ data: { kind, providerStatus: status } })
    expect(error).not.toHaveProperty('cause')
    expect(calls).toHaveLength(1)
  })

  it('an abort ends the wait for a retry', async () => {
    await using provider = await startProvider(refusing(429, { 'retry-after': '30' }))
    const stop = new AbortController()
    const seen: AgentEvent[] = []
    const reading = (async () => {
      for await (const event of withoutPings(claudeAt(provider.url).stream(requestOf('Hi'), stop.signal))) {
        seen.push(event)
        stop.abort('enough')
      }
    })()
    await expect(reading).rejects.toBe('enough')
    expect(seen).toMatchObject([{ type: 'run_retrying', delayMs: 30_000 }])
  })

  it('a client without credentials fails at once and says so', async () => {
    vi.stubEnv('ANTHROPIC_API_KEY', undefined)
    vi.stubEnv('ANTHROPIC_AUTH_TOKEN', undefined)
    vi.stubEnv('HOME', '/nonexistent')
    vi.stubEnv('XDG_CONFIG_HOME', '/nonexistent')
    await using provider = await startProvider()
    const agent = claude({ baseURL: provider.url })
    const { events, error } = await collect(agent.stream(requestOf('Hi'), never))
    vi.unstubAllEnvs()
    expect(events).toEqual([])
    expect(error).toMatchObject({ code: 'PROVIDER_REFUSED', data: { kind: 'client' } })
    expect(provider.calls).toEqual([])
  })
})

describe('after the first content', () => {
  it.each<[string, ProviderReply, { kind: string; providerStatus?: number }]>([
    [
      'an error event',
      streaming(...begun, errorEvent('overloaded_error')),
      { kind: 'overloaded', providerStatus: 529 },
    ],
    [
      'an error event of the future',
      streaming(...begun, errorEvent('melted')),
      { kind: 'server_error', providerStatus: 500 },
    ],
    ['a cut connection', cuttingAfter(...begun), { kind: 'cut' }],
    ['a stream that ends without message_stop', streaming(...begun), { kind: 'cut' }],
    ['a malformed frame', broken(...begun), { kind: 'malformed' }],
    ['an event that breaks the protocol', streaming(...begun, { type: 'content_block_delta' }), { kind: 'malformed' }],
    ['a second message_start', streaming(...begun, start), { kind: 'malformed' }],
  ])('%s after the first content fails the run and is never retried', async (_name, fault, data) => {
    const { events, error, calls } = await ask([fault, whole])
    expect(textOfEvents(events)).toBe('Hel')
    expect(error).toMatchObject({ code: 'PROVIDER_ERROR', data })
    expect(calls).toHaveLength(1)
  })

  it('what comes after message_stop does not matter', async () => {
    const { events, error } = await ask([cuttingAfter(...begun, ...textBlock('lo', 1), ...callEnd())])
    expect(error).toBeUndefined()
    expect(events.at(-1)).toEqual({ type: 'message_stop' })
  })
})

describe('a client of the caller', () => {
  it('the agent uses the client of the caller without the retries of that client', async () => {
    await using provider = await startProvider(refusing(529), whole)
    const client = new Anthropic({ apiKey: secretKey, baseURL: provider.url, maxRetries: 7, logLevel: 'off' })
    const agent = claude({ client, random: () => 0 })
    const { events, error } = await collect(agent.stream(requestOf('Hi'), never))
    expect(error).toBeUndefined()
    expect(events[0]).toMatchObject({ type: 'run_retrying', attempt: 1 })
    expect(provider.calls).toHaveLength(2)
  })
})

async function freePort(): Promise<number> {
  await using free = await listen(() => {})
  return Number(new URL(free.url).port)
}
