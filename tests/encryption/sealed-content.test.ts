/** Content at rest: with the option on, no word of a person or a model is in any collection, and everything reads as before. */
import { OtherBlock, textOf } from '@verbatim/core'
import type { AgentEvent, RunEvent } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import { createGate } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import { createHash } from 'node:crypto'
import { BSON } from 'mongodb'
import type { CommandStartedEvent } from 'mongodb'
import { describe, expect, it, vi } from 'vitest'
import { z } from 'zod'
import { answerOf, messageEnd, messageStart, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { openTestKeys, otherProcess } from '../support/keys.ts'
import { echoAgent, sessionId, start } from '../support/queue.ts'

/** In everything that a person or a model says in these tests. */
const marker = 'zebrafish'

/** Says the marker in each kind of block and delta that there is. */
const talkative: readonly AgentEvent[] = [
  {
    type: 'run_retrying',
    attempt: 1,
    delayMs: 1,
    error: { code: 'PROVIDER_ERROR', message: 'again', retryable: true, data: {} },
  },
  messageStart(3),
  { type: 'content_block_start', index: 0, content_block: { type: 'thinking', thinking: '', signature: '' } },
  { type: 'content_block_delta', index: 0, delta: { type: 'thinking_delta', thinking: `thought ${marker}` } },
  { type: 'content_block_delta', index: 0, delta: { type: 'signature_delta', signature: `signed ${marker}` } },
  { type: 'content_block_stop', index: 0 },
  { type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } },
  { type: 'content_block_delta', index: 1, delta: { type: 'text_delta', text: `said ${marker}` } },
  { type: 'content_block_delta', index: 1, delta: { type: 'citations_delta', citation: { cited_text: marker } } },
  { type: 'content_block_stop', index: 1 },
  { type: 'content_block_start', index: 2, content_block: { type: 'tool_use', id: 't1', name: 'look', input: {} } },
  { type: 'content_block_delta', index: 2, delta: { type: 'input_json_delta', partial_json: `{"fish":"${marker}"}` } },
  { type: 'content_block_stop', index: 2 },
  {
    type: 'content_block',
    index: 3,
    content_block: { type: 'web_search_tool_result', tool_use_id: 's1', content: [{ title: `page ${marker}` }] },
  },
  { type: 'content_block', index: 4, content_block: OtherBlock.parse({ type: 'future', [marker]: [marker] }) },
  ...messageEnd('tool_use', 3),
  {
    type: 'tool_result',
    tool_use_id: 't1',
    content: [
      { type: 'text', text: `found ${marker}` },
      { type: 'image', source: { type: 'url', url: `https://example.com/${marker}.png` }, alt: marker },
      OtherBlock.parse({ type: 'search_result', title: marker }),
    ],
    is_error: false,
    durationMs: 1,
  },
  { type: 'data', name: 'progress', id: marker, data: { [marker]: [marker] } },
  ...answerOf([`{"fish":"${marker}"`, '}']),
]

function talkativeAgent(): Agent {
  return pacedAgent(talkative, { id: 'talker', input: z.json().optional(), output: z.object({ fish: z.string() }) })
}

/** The documents of every collection whose bytes hold the word. */
async function whereIs(database: TestDatabase, word: string): Promise<string[]> {
  const db = database.client.db(database.databaseName)
  const found: string[] = []
  for (const { name } of await db.listCollections().toArray()) {
    for (const document of await db.collection(name).find().toArray()) {
      if (Buffer.from(BSON.serialize(document)).includes(word)) found.push(name)
    }
  }
  return [...new Set(found)].sort()
}

/** Says the marker everywhere that a caller or an agent can. */
async function converse(database: TestDatabase, archiveDelayMs = 1) {
  const gate = createGate()
  const waiting = { ...echoAgent({ gate }), input: z.json().optional() }
  const engine = openEngine(database, {
    agents: [waiting, talkativeAgent()],
    options: { ...shortLeases, archiveDelayMs },
  })
  await engine.sessions.create(ada, { sessionId: 'named', title: `My ${marker}` })
  await engine.sessions.update(ada, { sessionId: 'named', title: `Your ${marker}` })
  await engine.messages.append(ada, { sessionId: 'named', role: 'user', content: `Imported ${marker}` })
  const noted = { sessionId: 'named', name: 'notes', state: { fish: marker }, expectedRevision: 0 }
  await engine.agentStates.write(ada, noted)
  expect((await engine.agentStates.read(ada, noted))?.state).toEqual({ fish: marker })
  const runId = await startRun(engine, {
    message: `Tell me of the ${marker}`,
    agentId: 'talker',
    input: { fish: marker },
  })
  const live = await followAll(engine, runId)
  await start(engine, `first ${marker}`)
  await gate.reached()
  const queued = await engine.runs.start(ada, {
    runId: crypto.randomUUID(),
    sessionId,
    message: `queued ${marker}`,
    input: [marker],
    whenBusy: 'queue',
  })
  return { engine, gate, runId, live, queued }
}

describe('content at rest', () => {
  it('No word of a person or a model is in any collection, at any moment of a conversation', async () => {
    await using keys = await openTestKeys()
    for (const archiveDelayMs of [600_000, 1]) {
      await using database = await openDatabase({ keys: keys.keys })
      const { engine, gate, runId, queued } = await converse(database, archiveDelayMs)
      await using _engine = engine
      expect(await whereIs(database, marker)).toEqual([])
      gate.open()
      await followAll(engine, queued.id)
      if (archiveDelayMs === 1) await expectArchived(database, runId)
      expect(await whereIs(database, marker)).toEqual([])
    }
  })

  it('Without the option every collection of content shows such words, so that the test before can fail', async () => {
    const found = []
    for (const archiveDelayMs of [600_000, 1]) {
      await using database = await openDatabase(undefined)
      const { engine, runId } = await converse(database, archiveDelayMs)
      await using _engine = engine
      if (archiveDelayMs === 1) await expectArchived(database, runId)
      found.push(await whereIs(database, marker))
    }
    expect(found).toEqual([
      ['agent_states', 'messages', 'run_events', 'runs', 'sessions'],
      ['agent_states', 'messages', 'run_archives', 'run_events', 'runs', 'sessions'],
    ])
  })

  it('What streamed, the log, the archive and the message are equal, in the process that wrote them and in another', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    const { engine, gate, runId, live, queued } = await converse(database)
    await using _engine = engine
    await using other = openEngine(database, {
      agents: [talkativeAgent()],
      wrap: () => otherProcess(database, { keys: keys.keys }),
    })
    gate.open()
    await followAll(engine, queued.id)
    expect(live.length).toBeGreaterThan(talkative.length - 3)
    expect(withoutEngine(await followAll(other, runId)).join('')).toBe(withoutEngine(live).join(''))
    await expectArchived(database, runId)
    for (const reader of [engine, other]) {
      expect(await followAll(reader, runId)).toEqual(live)
      expect(await followAll(reader, runId, { after: 5 })).toEqual(live.slice(5))
      const answer = answerFrom(live)
      expect(await answerMessage(reader, runId)).toMatchObject({
        content: answer.content,
        output: { fish: marker },
        data: [{ name: 'progress', id: marker, data: { [marker]: [marker] } }],
      })
      expect(answer.output).toEqual({ fish: marker })
      const { items } = await reader.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
      expect(items.filter(({ role }) => role === 'user').map(({ content }) => textOf(content))).toEqual([
        `Tell me of the ${marker}`,
        `first ${marker}`,
        `queued ${marker}`,
      ])
      expect(items.filter(({ role }) => role === 'user').map(({ input }) => input)).toEqual([
        { fish: marker },
        undefined,
        [marker],
      ])
      const sessions = await reader.sessions.list(ada, { limit: 10 })
      expect(sessions.items.map(({ title }) => title)).toEqual([`Tell me of the ${marker}`, `Your ${marker}`])
    }
  })

  it('States, metrics and the links of runs stay in clear, so that operators can query them', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    await using engine = openEngine(database, { agents: [talkativeAgent()] })
    const runId = await startRun(engine, { message: marker })
    await followAll(engine, runId)
    const db = database.client.db(database.databaseName)
    expect(await db.collection('runs').countDocuments({ status: 'completed', 'metrics.outputTokens': 5 })).toBe(1)
    expect(await db.collection('messages').countDocuments({ role: 'assistant', runId, status: 'completed' })).toBe(1)
    expect(await db.collection('run_events').countDocuments({ 'e.type': 'run_completed' })).toBe(1)
  })

  it('Each owner has a key of their own, and none of another owner', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    await using engine = openEngine(database, { agents: [talkativeAgent()] })
    for (const owner of [ada, eve])
      await followAll(engine, await startRun(engine, { owner, message: marker }), { owner })
    await database.storage.contentKeys.erase(eve)
    const reader = otherProcess(database, { keys: keys.keys })
    const read = async (owner: typeof ada) =>
      await reader.sessionRepository.listMessages(owner, 'session-1', { order: 'oldest', limit: 10 })
    expect((await read(ada)).items.length).toBe(2)
    await expect(read(eve)).rejects.toMatchObject({ code: 'CONTENT_UNREADABLE', data: { kind: 'key_destroyed' } })
  })
})

describe('a start that is repeated', () => {
  it('A start that is repeated is the same run in any process, and another prompt under its id is refused', async () => {
    await using keys = await openTestKeys()
    await using database = await openDatabase({ keys: keys.keys })
    await using engine = openEngine(database, { agents: [talkativeAgent()] })
    await using other = openEngine(database, {
      agents: [talkativeAgent()],
      wrap: () => otherProcess(database, { keys: keys.keys }),
    })
    const runId = await startRun(engine, { message: 'hi' })
    await followAll(engine, runId)
    for (const again of [engine, other]) {
      const input = { runId, sessionId: 'session-1' }
      expect((await again.runs.start(ada, { ...input, message: 'hi' })).id).toBe(runId)
      await expect(again.runs.start(ada, { ...input, message: 'ho' })).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
    }
    const messageId = crypto.randomUUID()
    const append = { sessionId: 'session-1', role: 'user', content: 'imported', messageId } as const
    const first = await engine.messages.append(ada, append)
    expect(await other.messages.append(ada, append)).toEqual(first)
    await expect(other.messages.append(ada, { ...append, content: 'other' })).rejects.toMatchObject({
      code: 'MESSAGE_ID_REUSED',
    })
  })

  it('A start leaves no hash that a short prompt can be guessed from', async () => {
    await using keys = await openTestKeys()
    const guess = createHash('sha256')
      .update(JSON.stringify(['session-1', 'yes', null]))
      .digest('base64url')
    const hashes = []
    for (const encryption of [undefined, { keys: keys.keys }]) {
      await using database = await openDatabase(encryption)
      await using engine = openEngine(database, { agents: [talkativeAgent()] })
      await followAll(engine, await startRun(engine, { message: 'yes' }))
      hashes.push(await whereIs(database, guess))
    }
    expect(hashes).toEqual([['runs'], []])
  })
})

it('A turn sends the same commands to the database with the option and without', async () => {
  await using keys = await openTestKeys()
  const commands: string[][] = []
  for (const encryption of [undefined, { keys: keys.keys }]) {
    await using database = await openDatabase(encryption)
    const metered = await meteredEngine(database, encryption)
    await using engine = metered.engine
    await followAll(engine, await startRun(engine, { message: 'first' }))
    const stop = metered.record()
    await followAll(engine, await startRun(engine, { message: 'second' }))
    await vi.waitFor(() => expect(engine.stats().runsActive).toBe(0), waitOptions)
    commands.push(stop())
    await metered.close()
  }
  expect(commands[0]).toContain('commitTransaction')
  expect(commands[1]).toEqual(commands[0])
})

async function meteredEngine(database: TestDatabase, encryption: Parameters<typeof otherProcess>[1]) {
  const { MongoClient } = await import('mongodb')
  const client = new MongoClient(database.uri, { monitorCommands: true })
  const ports = otherProcess({ ...database, client }, encryption)
  const pauses = { heartbeatMs: 200_000, selfFenceMs: 400_000, leaseMs: 600_000, recoveryMs: 600_000 }
  const options = { ...pauses, cancelPollMs: 600_000, sweepMs: 600_000, archiveDelayMs: 600_000, pollMs: 600_000 }
  const said = answerOf(['The ', 'answer'])
  // All at once: one commit, so that the number of commands does not depend on the pace.
  const agent = pacedAgent(said, { pause: () => Promise.resolve() })
  const engine = openEngine(database, { agents: [agent], options, wrap: () => ports })
  return {
    engine,
    record() {
      const names: string[] = []
      const onStarted = ({ commandName }: CommandStartedEvent) => names.push(commandName)
      client.on('commandStarted', onStarted)
      return () => {
        client.off('commandStarted', onStarted)
        return names.toSorted()
      }
    },
    close: async () => await client.close(),
  }
}

/** The texts of an agent's events, whatever batches they came in. */
function withoutEngine(events: readonly RunEvent[]): string[] {
  return events.map((event) => (event.type === 'content_block_delta' ? JSON.stringify(event.delta) : ''))
}

async function expectArchived(database: TestDatabase, runId: string): Promise<void> {
  const runs = database.client.db(database.databaseName).collection('runs')
  await vi.waitFor(async () => {
    const run = await runs.findOne({ id: runId })
    expect(run?.['sweepAt']).toBeInstanceOf(Date)
  }, waitOptions)
}
