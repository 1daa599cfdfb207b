/** P5: one run at a time in a session; the client-made run id makes a start safe to repeat. */
import { ownerOf, textOf } from '@verbatim/core'
import type { Run } from '@verbatim/core'
import { describe, expect, it } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { askAgain } from '../support/ask-again.ts'
import { openDatabase, openEngine, openOne } from '../support/engine.ts'
import { ada, answerFrom, eve, followAll, startRun } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'

const at32 = Array.from({ length: 32 }, (_, at) => at)

describe('the same run id', () => {
  it('a run id that is sent twice is one run and one user message', async () => {
    await using test = await openOne({ agents: [pacedAgent(answerOf(['once']))] })
    const { engine } = test
    const input = { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'Again' }
    const first = await engine.runs.start(ada, input)
    const events = await followAll(engine, input.runId)
    const again = await engine.runs.start(ada, input)
    expect(again).toMatchObject({ id: first.id, userMessageId: first.userMessageId, messageId: first.messageId })
    expect(again.status).toBe('completed')
    expect(await followAll(engine, input.runId)).toEqual(events)
    expect(await rolesOf(engine)).toEqual(['user', 'assistant'])
    expect(engine.stats().runsStarted).toBe(1)
  })

  it('a run id that is sent 32 times at once on two processes is one run and one user message', async () => {
    await using database = await openDatabase()
    const agents = [pacedAgent(answerOf(['once']))]
    await using first = openEngine(database, { agents })
    await using second = openEngine(database, { agents })
    const input = { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'Again' }
    const runs = await Promise.all(
      at32.map(async (at) => {
        const engine = [first, second][at % 2]!
        return await askAgain(engine, async () => await engine.runs.start(ada, input))
      }),
    )
    expect(new Set(runs.map((run) => `${run.id} ${run.userMessageId} ${run.messageId}`)).size).toBe(1)
    expect(first.stats().runsStarted + second.stats().runsStarted).toBe(1)
    expect(answerFrom(await followAll(first, input.runId)).status).toBe('completed')
    expect(await rolesOf(first)).toEqual(['user', 'assistant'])
  })

  it.each([
    ['another message', { message: 'Something else' }],
    ['another session', { sessionId: 'session-2' }],
    ['another agent', { agentId: 'second' }],
  ])('a repeated run id with %s is refused during the run and after it', async (_name, change) => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent, pacedAgent([], { id: 'second' })] })
    const { engine } = test
    const input = { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'First' }
    await engine.runs.start(ada, input)
    const refused = { code: 'RUN_ID_REUSED', data: { field: 'runId' }, retryable: false }
    await expect(engine.runs.start(ada, { ...input, ...change })).rejects.toMatchObject(refused)
    agent.say('done')
    agent.end()
    await followAll(engine, input.runId)
    await expect(engine.runs.start(ada, { ...input, ...change })).rejects.toMatchObject(refused)
    const { items } = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
    expect(items.map((message) => textOf(message.content))).toEqual(['First', 'done'])
    expect((await engine.sessions.list(ada, { limit: 10 })).items.map((session) => session.id)).toEqual(['session-1'])
  })

  it('the same run id of another owner is an independent run in a session of its own', async () => {
    await using test = await openOne({ agents: [pacedAgent(answerOf(['for one']))] })
    const { engine } = test
    const runId = crypto.randomUUID()
    const tenant = ownerOf({ userId: 'ada', tenantId: 'other', scopes: [] })
    await Promise.all([ada, eve, tenant].map(async (owner) => await startRun(engine, { runId, owner })))
    const events = await Promise.all([ada, eve, tenant].map(async (owner) => await followAll(engine, runId, { owner })))
    expect(new Set(events.map((one) => answerFrom(one).messageId)).size).toBe(3)
    expect(engine.stats().runsStarted).toBe(3)
  })
})

describe('a session', () => {
  it('a busy session names its active run to a second prompt and stores nothing of it', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const activeRunId = await startRun(engine)
    const second = crypto.randomUUID()
    await expect(startRun(engine, { runId: second, message: 'Me too' })).rejects.toMatchObject({
      code: 'SESSION_BUSY',
      data: { activeRunId },
      retryable: true,
    })
    await expect(engine.runs.get(ada, second)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
    expect(await rolesOf(engine)).toEqual(['user'])
    agent.end()
    await followAll(engine, activeRunId)
    await startRun(engine, { runId: second, message: 'Me too' })
    agent.end()
    expect(answerFrom(await followAll(engine, second)).status).toBe('completed')
  })

  it('a session that receives 32 prompts at once on two processes answers exactly one', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using first = openEngine(database, { agents: [agent] })
    await using second = openEngine(database, { agents: [agent] })
    const runIds = at32.map(() => crypto.randomUUID())
    const results = await Promise.allSettled(
      runIds.map(async (runId, at) => {
        const engine = [first, second][at % 2]!
        return await askAgain(engine, async () => await startRun(engine, { runId, message: `Prompt ${at}` }))
      }),
    )
    const won = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
    expect(won).toHaveLength(1)
    const reasons: unknown[] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    for (const reason of reasons) {
      expect(reason).toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: won[0] } })
    }
    expect(await rolesOf(first)).toEqual(['user'])
    agent.end()
    expect(answerFrom(await followAll(first, won[0]!)).status).toBe('completed')
    expect(agent.requests).toHaveLength(1)
  })

  it('32 sessions run at once and do not wait for each other', async () => {
    await using test = await openOne({ agents: [pacedAgent(answerOf(['to ', 'each']))] })
    const { engine } = test
    const runIds = at32.map(() => crypto.randomUUID())
    await Promise.all(
      runIds.map(async (runId, at) => {
        await askAgain(engine, async () => await startRun(engine, { runId, sessionId: `session-${at}` }))
      }),
    )
    const answers = await Promise.all(runIds.map(async (runId) => answerFrom(await followAll(engine, runId))))
    expect(answers.map((answer) => [answer.status, textOf(answer.content)])).toEqual(
      at32.map(() => ['completed', 'to each']),
    )
    await expectIdle(engine)
    expect(engine.stats().runsEnded.completed).toBe(32)
  })

  it('the order of turns is dense, whichever process starts them', async () => {
    await using database = await openDatabase()
    const agents = [pacedAgent(answerOf(['ok']))]
    await using first = openEngine(database, { agents })
    await using second = openEngine(database, { agents })
    for (let at = 0; at < 6; at++) {
      const engine = [first, second][at % 2]!
      const runId = await startRun(engine, { message: `Prompt ${at}` })
      await followAll([second, first][at % 2]!, runId)
    }
    const { items } = await second.messages.list(ada, 'session-1', { order: 'oldest', limit: 100 })
    expect(items.map((message) => message.seq)).toEqual(Array.from({ length: 12 }, (_, at) => at + 1))
    expect(items.filter((message) => message.role === 'user').map((message) => textOf(message.content))).toEqual(
      Array.from({ length: 6 }, (_, at) => `Prompt ${at}`),
    )
    const runs = await first.runs.list(ada, 'session-1', { limit: 10 })
    expect(runs.items.map((run: Run) => run.status)).toEqual(Array.from({ length: 6 }, () => 'completed'))
  })
})

async function rolesOf(engine: Awaited<ReturnType<typeof openOne>>['engine']) {
  const { items } = await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 100 })
  return items.map((message) => message.role)
}
