/** Structured output: the answer as the JSON value that the agent's schema asks for, checked before the run completes. */
import { textOf, toCursor, wholeContinuationPrompt } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import type { ClaudeOptionsInput } from '@verbatim/core/claude'
import type { Agent } from '@verbatim/core/server'
import { callEnd, callStart, startProvider, streaming, textBlock, toolBlock } from '@verbatim/test-kit/provider'
import type { ProviderEvent } from '@verbatim/test-kit/provider'
import { tool } from '@verbatim/core/claude'
import { MongoClient } from 'mongodb'
import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openApp } from '../support/app.ts'
import { claudeAt } from '../support/claude.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { otherProcess } from '../support/keys.ts'
import { ada, answerFrom, answerMessage, followAll, startRun, waitOptions } from '../support/follow.ts'

const Weather = z.object({ city: z.string(), degrees: z.number().max(60), days: z.array(z.string()).default([]) })

const said = '{"city":"Oslo","degrees":-3,"days":["Mon","Tue"]}'
const weather = { city: 'Oslo', degrees: -3, days: ['Mon', 'Tue'] }
const words = said.match(/.{1,4}/g) ?? []

/** A real `claude()` whose model answers its calls with `replies`, and a client of its server. */
async function openClaude(replies: readonly (readonly ProviderEvent[])[], options: ClaudeOptionsInput = {}) {
  const provider = await startProvider(...replies.map((events) => streaming(callStart(), ...events)))
  const agent = claudeAt(provider.url, { output: Weather, maxRetries: 0, ...options })
  const app = await openApp({ agents: [agent] })
  return {
    provider,
    app,
    client: app.client(),
    async [Symbol.asyncDispose]() {
      await app[Symbol.asyncDispose]()
      await provider[Symbol.asyncDispose]()
      expect(provider.complaints).toEqual([])
    },
  }
}

describe('The output of a run', () => {
  it('The output of a run is asked of the model, checked, streamed and stored with the message', async () => {
    await using test = await openClaude([[...textBlock(words), ...callEnd()]])
    const run = test.client.chat('session-1').send('The weather?')
    const seen: unknown[] = []
    for await (const partial of run.partialOutput) seen.push(partial)
    expect(await run.output).toEqual(weather)
    expect(seen.at(-1)).toEqual(weather)
    expect(await run.message).toMatchObject({ status: 'completed', output: weather })
    expect(textOf(run.answer.content)).toBe(said)
    expect(run.answer.output).toEqual(weather)
    // A later follower reads the same: from the log, and from the stored message.
    const later = test.client.runs.follow(run.id)
    expect(await later.output).toEqual(weather)
    const joined = test.client.runs.follow(run.id, { after: run.cursor })
    expect(await joined.output).toEqual(weather)
    expect(test.provider.calls[0]?.body['output_config']).toMatchObject({
      format: {
        type: 'json_schema',
        schema: { type: 'object', additionalProperties: false, required: ['city', 'degrees'] },
      },
    })
  })

  it('The output of a run is the last text of the last model call, after its tools have run', async () => {
    const look = tool({ name: 'look', description: 'Looks', input: z.object({}), run: () => 'cold' })
    const first = [...textBlock('Let me look.'), ...toolBlock(1, { id: 't1', name: 'look' }), ...callEnd('tool_use')]
    await using test = await openClaude([first, [...textBlock(words), ...callEnd()]], { tools: [look] })
    const run = test.client.chat('session-1').send('The weather?')
    expect(await run.output).toEqual(weather)
  })

  it('The output of a run is what the schema makes of the JSON', async () => {
    const output = Weather.extend({ city: z.string().transform((city) => city.toUpperCase()) })
    await using test = await openClaude([[...textBlock('{"city":"Oslo","degrees":1}'), ...callEnd()]], { output })
    const run = test.client.chat('session-1').send('The weather?')
    expect(await run.output).toEqual({ city: 'OSLO', degrees: 1, days: [] })
  })

  it.each([
    { name: 'what does not fit', text: '{"city":"Oslo","degrees":99}', data: { kind: 'schema', field: 'degrees' } },
    { name: 'missing a field', text: '{"city":"Oslo"}', data: { kind: 'schema', field: 'degrees' } },
    { name: 'prose', text: 'It is cold.', data: { kind: 'json' } },
    { name: 'cut', text: '{"city":"Os', stopReason: 'max_tokens', data: { kind: 'cut' } },
  ])('A run whose answer is $name fails with OUTPUT_INVALID and keeps the text', async ({ text, stopReason, data }) => {
    await using test = await openClaude([[...textBlock(text), ...callEnd(stopReason)]])
    const run = test.client.chat('session-1').send('The weather?')
    await expect(run.output).rejects.toMatchObject({ code: 'OUTPUT_INVALID', data })
    await expect(run.message).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
    await expect(drain(run.partialOutput)).rejects.toMatchObject({ code: 'OUTPUT_INVALID' })
    expect(run.status).toBe('failed')
    expect(JSON.stringify(run.error)).not.toContain('Oslo')
    const stored = await test.client.messages.get('session-1', run.answer.messageId ?? '')
    expect(stored).toMatchObject({ status: 'failed', output: null, content: [{ type: 'text', text }] })
  })

  it('An error of an output names no key that the model has made up', async () => {
    const output = z.object({ counts: z.record(z.string(), z.object({ n: z.number() })) })
    const agent = pacedAgent(answerOf(['{"counts":{"secret":{"n":"x"}}}']), { output })
    await using test = await openOne({ agents: [agent] })
    const events = await followAll(test.engine, await startRun(test.engine))
    expect(events.at(-1)).toMatchObject({ error: { code: 'OUTPUT_INVALID', data: { field: 'counts.*.n' } } })
    expect(JSON.stringify(events.at(-1))).not.toContain('secret')
  })

  it('A refused run has no output, and is refused as any other', async () => {
    await using test = await openClaude([[...textBlock('I cannot'), ...callEnd('refusal')]])
    const run = test.client.chat('session-1').send('The weather?')
    await expect(run.output).rejects.toMatchObject({ code: 'OUTPUT_INVALID', data: { kind: 'refused' } })
    expect(await run.message).toMatchObject({ status: 'refused', output: null })
  })

  it('A run that was cancelled, and a run of an agent without a schema, say why they have no output', async () => {
    const agent = manualAgent({ output: Weather })
    await using app = await openApp({ agents: [agent, pacedAgent(answerOf(['{"a":1}']))] })
    const run = app.client().chat('session-1').send('The weather?')
    await run.started
    agent.say('{"city":"Os')
    await vi.waitFor(() => expect(textOf(run.answer.content)).not.toBe(''), waitOptions)
    await run.cancel()
    await expect(run.output).rejects.toMatchObject({ code: 'OUTPUT_INVALID', data: { kind: 'cancelled' } })
    const plain = app.client().chat('session-1').send('Hi', { agentId: 'paced' })
    await expect(plain.output).rejects.toMatchObject({ code: 'OUTPUT_INVALID', data: { kind: 'none' } })
  })

  it('An output that no message can hold fails the run with MESSAGE_TOO_LARGE', async () => {
    const output = z.object({ a: z.string().transform((text) => text.repeat(400)) })
    const agent = pacedAgent(answerOf(['{"a":"', 'x'.repeat(40), '"}']), { output })
    await using test = await openOne({ agents: [agent], options: { maxAnswerBytes: 8_192 } })
    const runId = await startRun(test.engine)
    const events = await followAll(test.engine, runId)
    expect(events.at(-1)).toMatchObject({ type: 'run_failed', error: { code: 'MESSAGE_TOO_LARGE' } })
  })

  it('An output is JSON of any keys, and comes back as it was', async () => {
    const hard = '{"a":{"$where":1,"k.l":[{"_bsontype":"Int32"},"a\\u0000b"]}}'
    const agent = pacedAgent(answerOf([hard]), { output: z.object({ a: z.json() }) })
    await using test = await openOne({ agents: [agent] })
    const runId = await startRun(test.engine)
    const answer = answerFrom(await followAll(test.engine, runId))
    expect(JSON.stringify(answer.output)).toBe(JSON.stringify(JSON.parse(hard)))
    expect(JSON.stringify((await answerMessage(test.engine, runId)).output)).toBe(JSON.stringify(answer.output))
  })

  it('The output comes once, right before the terminal event, from the log and from the archive', async () => {
    await using test = await openOne({
      agents: [pacedAgent(answerOf(words), { output: Weather })],
      options: { archiveDelayMs: 1 },
    })
    const runId = await startRun(test.engine)
    const live = await followAll(test.engine, runId)
    expect(live.slice(-2)).toMatchObject([{ type: 'output', output: weather }, { type: 'run_completed' }])
    const archives = test.database.client.db(test.database.databaseName).collection('run_archives')
    await vi.waitFor(async () => expect(await archives.countDocuments()).toBe(1), waitOptions)
    expect(await followAll(test.engine, runId)).toEqual(live)
    expect(await followAll(test.engine, runId, { after: live.length - 1 })).toEqual(live.slice(-1))
  })
})

async function drain(items: AsyncIterable<unknown>): Promise<void> {
  for await (const _item of items) continue
}

/** Says `first` in its first run and then hangs, as one whose process is lost; later runs say all. */
function losingAgent(first: readonly AgentEvent[], more: Partial<Agent> = {}) {
  const hangs = Promise.withResolvers<void>()
  let runs = 0
  const agent: Agent = {
    id: 'weather',
    output: Weather,
    ...more,
    async *stream(_request, signal) {
      runs++
      yield* runs === 1 ? first : answerOf(words)
      if (runs > 1) return
      hangs.resolve()
      await new Promise((_resolve, reject) => signal.addEventListener('abort', reject))
    },
  }
  return { agent, hangs: hangs.promise }
}

/** Runs a prompt at a process that is lost when its agent hangs, and has another one take over. */
async function loseRun({ agent, hangs }: ReturnType<typeof losingAgent>) {
  await using database = await openDatabase()
  const options = { ...shortLeases, recoveryMs: 30 }
  await using lost = openCrashableEngine(database, { agents: [agent], options })
  const runId = await startRun(lost.engine)
  await hangs
  await vi.waitFor(() => expect(lost.engine.stats().pendingBytes).toBe(0), waitOptions)
  await lost.crash()
  await using taker = openEngine(database, { agents: [agent], options })
  const first = await followAll(taker, runId)
  const { continuedBy } = answerFrom(first)
  const next = continuedBy === null ? undefined : await followAll(taker, continuedBy)
  const messages = await taker.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
  return { first, next, messages: messages.items }
}

describe('The output of a run that was lost', () => {
  it('A run that continues a lost one gives the whole output again', async () => {
    const begun = answerOf(words).slice(0, 6)
    const { first, next, messages } = await loseRun(losingAgent(begun, { onCrash: 'continue' }))
    expect(first.at(-1)).toMatchObject({ type: 'run_interrupted' })
    expect(next?.slice(-2)).toMatchObject([{ type: 'output', output: weather }, { type: 'run_completed' }])
    expect(messages.map(({ output }) => output)).toEqual([null, null, null, weather])
    expect(messages[2]?.content).toEqual([{ type: 'text', text: wholeContinuationPrompt }])
  })

  it('A lost run whose answer was whole has its output', async () => {
    const { first, messages } = await loseRun(losingAgent(answerOf(words)))
    expect(first.slice(-2)).toMatchObject([{ type: 'output', output: weather }, { type: 'run_interrupted' }])
    expect(messages.at(-1)).toMatchObject({ status: 'interrupted', output: weather })
  })
})

/** The commands of the second turn of a session, with no loop of the engine among them. */
async function commandsOfTurn(agent: Agent): Promise<string[]> {
  await using database = await openDatabase()
  const client = new MongoClient(database.uri, { monitorCommands: true })
  const never = 600_000
  const loops = { heartbeatMs: 200_000, selfFenceMs: 400_000, leaseMs: never, recoveryMs: never, cancelPollMs: never }
  const options = { ...loops, sweepMs: never, archiveDelayMs: never, pollMs: never }
  const wrap = () => otherProcess({ ...database, client }, undefined)
  await using engine = openEngine(database, { agents: [agent], options, wrap })
  await followAll(engine, await startRun(engine))
  const names: string[] = []
  client.on('commandStarted', ({ commandName }) => names.push(commandName))
  await followAll(engine, await startRun(engine))
  await vi.waitFor(() => expect(engine.stats().runsActive).toBe(0), waitOptions)
  const commands = names.toSorted()
  await engine.close()
  await client.close()
  return commands
}

it('A turn with an output sends the same commands to the database as one without', async () => {
  // All at once: one commit, so that the number of commands does not depend on the pace.
  const pause = async () => {}
  const prose = await commandsOfTurn(pacedAgent(answerOf(words), { pause }))
  expect(prose).toContain('commitTransaction')
  expect(await commandsOfTurn(pacedAgent(answerOf(words), { pause, output: Weather }))).toEqual(prose)
})

describe('The output on other ways', () => {
  it('The chat endpoint sends the output as a frame of its own, and no cut between frames loses it', async () => {
    await using app = await openApp({ agents: [pacedAgent(answerOf(words), { output: Weather })] })
    const runId = await startRun(app.engine)
    const { length } = await followAll(app.engine, runId)
    const framesFrom = async (seq: number) => {
      const headers = { 'last-event-id': toCursor(runId, seq) }
      const text = await (await app.fetch(`/chat/sse/${runId}`, { headers })).text()
      return [...text.matchAll(/^data: (.*)$/gm)].map(
        ([, data = '']) => JSON.parse(data) as { type: string; data: unknown },
      )
    }
    const all = await framesFrom(0)
    expect(all.map(({ type }) => type).filter((type) => type !== 'token')).toEqual(['output', 'done'])
    expect(all.at(-2)).toEqual({ type: 'output', data: weather })
    expect((await framesFrom(length - 2)).map(({ type }) => type)).toEqual(['output', 'done'])
    expect((await framesFrom(length - 1)).map(({ type }) => type)).toEqual(['done'])
  })

  it.each<[string, z.ZodType, RegExp]>([
    ['a list', z.array(z.string()), /must be a z\.object/],
    ['a record', z.object({ counts: z.record(z.string(), z.number()) }), /record at counts/],
    ['a date', z.object({ at: z.date() }), /date/i],
    [
      'a codec to a date',
      z.object({
        at: z.iso
          .datetime()
          .pipe(z.transform((text) => new Date(text)))
          .pipe(z.date()),
      }),
      /date/i,
    ],
    ['anything', z.object({ any: z.unknown() }), /type/],
  ])('An agent whose output is %s is refused at start', (_name, output, message) => {
    expect(() => claudeAt('http://127.0.0.1:1', { output })).toThrow(message)
  })

  it('An agent of a model without structured outputs is refused at start', () => {
    const options = { output: Weather, model: 'claude-sonnet-4-0' }
    expect(() => claudeAt('http://127.0.0.1:1', options)).toThrow(/no structured outputs/)
  })
})
