import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { isVerbatimError, textOf } from '@verbatim/core'
import {
  agent,
  closeGlobalFactory,
  createSessionManager,
  getGlobalFactory,
  initializeGlobalFactory,
  SessionManagerFactory,
  silentLogger,
} from '@verbatim/core/server'
import type { LogFields, SessionManager } from '@verbatim/core/server'
import { MongoClient } from 'mongodb'
import type { CommandStartedEvent } from 'mongodb'
import { afterEach, describe, expect, inject, it } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openDatabase } from '../support/engine.ts'

const agents = [pacedAgent(answerOf(['Hello ', 'there']))]

async function ask(session: SessionManager, message: string): Promise<string> {
  const run = session.send(message)
  let text = ''
  for await (const piece of run.text) text += piece
  expect(textOf((await run.message).content)).toBe(text)
  return text
}

function withOption(uri: string, option: string): string {
  return `${uri}${uri.includes('?') ? '&' : '?'}${option}`
}

describe('createSessionManager', () => {
  it('createSessionManager opens one session with a connection of its own and closes both', async () => {
    await using database = await openDatabase()
    const where = { uri: inject('mongoUri'), databaseName: database.databaseName, agents, sessionId: 'session-1' }
    const session = await createSessionManager(where)
    expect(await ask(session, 'Hi')).toBe('Hello there')
    await session.appendMessage({ role: 'user', content: 'A note', expectedHead: 2 })
    expect((await session.history({ maxMessages: 2 })).map((one) => textOf(one.content))).toEqual([
      'Hello there',
      'A note',
    ])
    await session.close()
    await expect(session.send('Still there?').started).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await using again = await createSessionManager(where)
    expect((await again.history()).map((one) => textOf(one.content))).toEqual(['Hi', 'Hello there', 'A note'])
  })

  it.each([
    ['an empty session id', { sessionId: '' }, 'sessionId'],
    ['a session id with a slash', { sessionId: 'a/b' }, 'sessionId'],
    ['a principal without a name', { principal: { userId: '' } }, 'principal'],
  ])('createSessionManager refuses %s before it connects', async (_name, input, field) => {
    const refused = createSessionManager({ uri: 'mongodb://nowhere.invalid', agents, sessionId: 'session-1', ...input })
    await expect(refused).rejects.toMatchObject({ code: 'INVALID_INPUT', data: { field } })
  })

  it('createSessionManager limits the history to 100 messages', async () => {
    await using database = await openDatabase()
    const where = { uri: inject('mongoUri'), databaseName: database.databaseName, agents, sessionId: 'session-1' }
    await using session = await createSessionManager(where)
    for (const maxMessages of [0, -1, 1.5, 101, Number.POSITIVE_INFINITY, Number.NaN]) {
      const refused = session.history({ maxMessages })
      await expect(refused).rejects.toMatchObject({ code: 'INVALID_INPUT', data: { field: 'maxMessages' } })
    }
    expect(await session.history({ maxMessages: 1 })).toEqual([])
    expect(await session.history({ maxMessages: 100 })).toEqual([])
  })

  it('history() of a session that does not exist is empty and creates no session', async () => {
    await using database = await openDatabase()
    const { client, databaseName } = database
    await using factory = await SessionManagerFactory.connect({ client, databaseName, agents })
    expect(await factory.createSessionManager({ sessionId: 'session-1' }).history()).toEqual([])
    expect(await client.db(databaseName).collection('sessions').countDocuments()).toBe(0)
  })

  it('createSessionManager says that there is no database and leaves nothing open', async () => {
    const nowhere = 'mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200&directConnection=true'
    const refused = createSessionManager({ uri: nowhere, agents, sessionId: 'session-1' })
    await expect(refused).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })
})

describe('SessionManagerFactory', () => {
  it('a SessionManagerFactory serves any number of sessions and principals over one pool', async () => {
    await using database = await openDatabase()
    await using factory = await SessionManagerFactory.connect({
      uri: inject('mongoUri'),
      databaseName: database.databaseName,
      agents,
    })
    const sessions = Array.from({ length: 8 }, (_, at) =>
      factory.createSessionManager({ sessionId: 'session-1', principal: { userId: `user-${at}` } }),
    )
    expect(await Promise.all(sessions.map(async (session) => await ask(session, 'Hi')))).toEqual(
      sessions.map(() => 'Hello there'),
    )
    for (const session of sessions) expect(await session.history()).toHaveLength(2)
    await sessions[0]?.close()
    expect(await ask(sessions[1]!, 'And you?')).toBe('Hello there')
  })

  it('a SessionManagerFactory logs once the driver settings that it chooses, and nothing else of the URI', async () => {
    const said: [LogFields, string][] = []
    const logger = { ...silentLogger, info: (fields: LogFields, message: string) => void said.push([fields, message]) }
    await using database = await openDatabase()
    const uri = withOption(inject('mongoUri'), 'connectTimeoutMS=4321')
    await using _factory = await SessionManagerFactory.connect({
      uri,
      databaseName: database.databaseName,
      agents,
      logger,
    })
    const settings = said.filter(([, message]) => message.includes('driver settings'))
    expect(settings).toHaveLength(1)
    expect(settings[0]?.[0]).toMatchObject({ heartbeatFrequencyMS: 2_000, serverMonitoringMode: 'poll' })
    expect(settings[0]?.[0]).not.toHaveProperty('connectTimeoutMS')
  })

  it('a SessionManagerFactory leaves a borrowed client open and uses its own write and read concern', async () => {
    await using database = await openDatabase()
    const client = new MongoClient(inject('mongoUri'), {
      writeConcern: { w: 0 },
      readConcern: { level: 'local' },
      readPreference: 'secondaryPreferred',
      ignoreUndefined: true,
      monitorCommands: true,
    })
    await client.connect()
    const started: CommandStartedEvent[] = []
    client.on('commandStarted', (event) => started.push(event))
    const factory = await SessionManagerFactory.connect({ client, databaseName: database.databaseName, agents })
    const session = factory.createSessionManager({ sessionId: 'session-1' })
    await session.appendMessage({ role: 'user', content: 'A note' })
    expect(await ask(session, 'Hi')).toBe('Hello there')
    await session.history()
    await factory.close()
    await factory.close()

    expect(await client.db(database.databaseName).collection('messages').countDocuments()).toBe(3)
    await client.close()
    expectStrong(started)
  })

  it.each([
    ['neither uri nor client', {}],
    ['both uri and client', { uri: 'mongodb://localhost', client: {} as MongoClient }],
  ])('a SessionManagerFactory refuses %s', async (_name, where) => {
    await expect(SessionManagerFactory.connect({ ...where, agents })).rejects.toMatchObject({
      code: 'INVALID_CONFIGURATION',
    })
  })

  it.each([
    ['two agents of one id', { agents: [...agents, ...agents] }],
    ['leases that contradict each other', { agents, options: { leaseMs: 10, selfFenceMs: 20 } }],
    ['an unknown option', { agents, options: { leasMs: 10 } as object }],
  ])('a SessionManagerFactory refuses %s and leaves no connection open', async (_name, input) => {
    const refused = SessionManagerFactory.connect({
      uri: inject('mongoUri'),
      databaseName: 'verbatim-unused',
      ...input,
    })
    await expect(refused).rejects.toSatisfy((error) => isVerbatimError(error) && error.code === 'INVALID_CONFIGURATION')
  })

  it('a SessionManagerFactory without agents refuses a prompt that brings none', async () => {
    await using database = await openDatabase()
    const { client, databaseName } = database
    await using factory = await SessionManagerFactory.connect({ client, databaseName })
    const session = factory.createSessionManager({ sessionId: 'session-1' })
    await expect(session.send('Hi').started).rejects.toMatchObject({ code: 'AGENT_NOT_FOUND' })
    const own = agent({ id: 'own', stream: () => 'Hello from my own loop' })
    expect(textOf((await session.send('Hi', { agent: own }).message).content)).toBe('Hello from my own loop')
    const both = () => session.send('Hi', { agent: own, agentId: 'own' })
    expect(both).toThrow(expect.objectContaining({ code: 'INVALID_INPUT', data: { field: 'agent' } }))
  })

  it('a program that streams itself appends the prompt, and then the answer with its agent, metrics and status', async () => {
    await using database = await openDatabase()
    const { client, databaseName } = database
    await using factory = await SessionManagerFactory.connect({ client, databaseName })
    const session = factory.createSessionManager({ sessionId: 'session-1' })
    await session.appendMessage({ role: 'user', content: 'Hello', agentId: 'assistant' })
    await session.appendMessage({
      role: 'assistant',
      content: 'Hello to',
      agentId: 'assistant',
      status: 'cancelled',
      metrics: { inputTokens: 12, outputTokens: 30, latencyMs: 800, model: 'my-model' },
    })
    const [prompt, answer] = await session.history()
    expect(prompt).toMatchObject({ agentId: 'assistant', status: 'completed', metrics: null, runId: null })
    expect(answer).toMatchObject({ agentId: 'assistant', status: 'cancelled', runId: null })
    expect(answer?.metrics).toEqual({
      latencyMs: 800,
      timeToFirstTokenMs: null,
      inputTokens: 12,
      outputTokens: 30,
      totalTokens: 42,
      cacheReadInputTokens: 0,
      cacheWriteInputTokens: 0,
      cycles: 0,
      tools: [],
      model: 'my-model',
      stopReason: null,
    })
    const wrong = session.appendMessage({ role: 'assistant', content: 'x', metrics: { inputTokens: -1 } })
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_INPUT', data: { field: 'metrics.inputTokens' } })
    expect(await session.history()).toHaveLength(2)
  })

  it('a program ends after it closes its factory, even when an agent hangs', async () => {
    const program = fileURLToPath(new URL('../support/embedding-program.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--conditions=verbatim-source', program, inject('mongoUri')],
      { timeout: 25_000 },
    )
    expect(stdout).toBe('It ends')
  })
})

describe('the global factory', () => {
  afterEach(closeGlobalFactory)

  it('the global factory is made once, found from anywhere and gone after it is closed', async () => {
    await using database = await openDatabase()
    const options = { uri: inject('mongoUri'), databaseName: database.databaseName, agents }
    await expect(getGlobalFactory()).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' })
    await closeGlobalFactory()
    const making = initializeGlobalFactory(options)
    const [made, found] = await Promise.all([making, getGlobalFactory()])
    expect(found).toBe(made)
    await expect(initializeGlobalFactory(options)).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' })
    expect(await ask(made.createSessionManager({ sessionId: 'session-1' }), 'Hi')).toBe('Hello there')
    await closeGlobalFactory()
    await expect(getGlobalFactory()).rejects.toMatchObject({ code: 'INVALID_CONFIGURATION' })
    expect(await initializeGlobalFactory(options)).not.toBe(made)
  })

  it('a global factory that could not connect is not kept, and another can be made', async () => {
    await using database = await openDatabase()
    const nowhere = 'mongodb://127.0.0.1:9/?serverSelectionTimeoutMS=200&directConnection=true'
    await expect(initializeGlobalFactory({ uri: nowhere, agents })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    const options = { uri: inject('mongoUri'), databaseName: database.databaseName, agents: [manualAgent()] }
    await initializeGlobalFactory(options)
  })
})

/** Every write waits for the majority, and every read sees only what the majority has. */
function expectStrong(started: readonly CommandStartedEvent[]): void {
  const writes = started.filter(({ commandName, command }) => {
    const isWrite = ['insert', 'update', 'delete', 'findAndModify', 'commitTransaction'].includes(commandName)
    return (
      isWrite &&
      (command['txnNumber'] === undefined || command['autocommit'] === undefined || commandName === 'commitTransaction')
    )
  })
  expect(writes.length).toBeGreaterThan(4)
  for (const { commandName, command } of writes) {
    expect([commandName, command['writeConcern']?.w]).toEqual([commandName, 'majority'])
  }
  const reads = started.filter(
    ({ commandName, command }) => commandName === 'find' && command['autocommit'] === undefined,
  )
  expect(reads.length).toBeGreaterThan(0)
  for (const { command } of reads) {
    expect(command['readConcern']?.level).toBe('majority')
    expect(command['$readPreference']?.mode ?? 'primary').toBe('primary')
  }
  for (const { command } of started.filter((one) => one.command['startTransaction'] === true)) {
    expect(command['readConcern']?.level).toBe('majority')
  }
}
