/** P5: one run at a time in a session; the client-made run id makes a start safe to repeat. */
import { ownerOf, textOf } from '@verbatim/core'
import type { Run } from '@verbatim/core'
import { describe, expect, it } from 'vitest'
import { answerOf, handAgent, scriptAgent } from '../support/agents.ts'
import { askAgain } from '../support/ask-again.ts'
import { openDatabase, openEngine, openOne } from '../support/engine.ts'
import { ada, answerFrom, eve, followAll, startRun } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'

const at32 = Array.from({ length: 32 }, (_, at) => at)

describe('the same run id', () => {
  it('given twice is one run and one user message', async () => {
    await using test = await openOne({ agents: [scriptAgent(answerOf(['once']))] })
    const { core } = test
    const input = { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'Again' }
    const first = await core.runs.start(ada, input)
    const events = await followAll(core, input.runId)
    const again = await core.runs.start(ada, input)
    expect(again).toMatchObject({ id: first.id, userMessageId: first.userMessageId, messageId: first.messageId })
    expect(again.status).toBe('completed')
    expect(await followAll(core, input.runId)).toEqual(events)
    expect(await rolesOf(core)).toEqual(['user', 'assistant'])
    expect(core.stats().runsStarted).toBe(1)
  })

  it('given 32 times at once, on two processes, is one run and one user message', async () => {
    await using database = await openDatabase()
    const agents = [scriptAgent(answerOf(['once']))]
    await using first = openEngine(database, { agents })
    await using second = openEngine(database, { agents })
    const input = { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'Again' }
    const runs = await Promise.all(
      at32.map(async (at) => {
        const core = [first, second][at % 2]!
        return await askAgain(core, async () => await core.runs.start(ada, input))
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
  ])('with %s is refused, while the run goes on and after it', async (_name, change) => {
    const agent = handAgent()
    await using test = await openOne({ agents: [agent, scriptAgent([], { id: 'second' })] })
    const { core } = test
    const input = { runId: crypto.randomUUID(), sessionId: 'session-1', message: 'First' }
    await core.runs.start(ada, input)
    const refused = { code: 'RUN_ID_REUSED', data: { field: 'runId' }, retryable: false }
    await expect(core.runs.start(ada, { ...input, ...change })).rejects.toMatchObject(refused)
    agent.say('done')
    agent.end()
    await followAll(core, input.runId)
    await expect(core.runs.start(ada, { ...input, ...change })).rejects.toMatchObject(refused)
    const { items } = await core.messages.list(ada, 'session-1', { order: 'oldest', limit: 10 })
    expect(items.map((message) => textOf(message.content))).toEqual(['First', 'done'])
    expect((await core.sessions.list(ada, { limit: 10 })).items.map((session) => session.id)).toEqual(['session-1'])
  })

  it('of another owner is an independent run, in a session of its own', async () => {
    await using test = await openOne({ agents: [scriptAgent(answerOf(['for one']))] })
    const { core } = test
    const runId = crypto.randomUUID()
    const tenant = ownerOf({ userId: 'ada', tenantId: 'other', scopes: [] })
    await Promise.all([ada, eve, tenant].map(async (owner) => await startRun(core, { runId, owner })))
    const events = await Promise.all([ada, eve, tenant].map(async (owner) => await followAll(core, runId, { owner })))
    expect(new Set(events.map((one) => answerFrom(one).messageId)).size).toBe(3)
    expect(core.stats().runsStarted).toBe(3)
  })
})

describe('a session', () => {
  it('that is busy names its active run to a second prompt, and stores nothing of it', async () => {
    const agent = handAgent()
    await using test = await openOne({ agents: [agent] })
    const { core } = test
    const activeRunId = await startRun(core)
    const second = crypto.randomUUID()
    await expect(startRun(core, { runId: second, message: 'Me too' })).rejects.toMatchObject({
      code: 'SESSION_BUSY',
      data: { activeRunId },
      retryable: true,
    })
    await expect(core.runs.get(ada, second)).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
    expect(await rolesOf(core)).toEqual(['user'])
    agent.end()
    await followAll(core, activeRunId)
    await startRun(core, { runId: second, message: 'Me too' })
    agent.end()
    expect(answerFrom(await followAll(core, second)).status).toBe('completed')
  })

  it('asked 32 different things at once, on two processes, answers exactly one', async () => {
    await using database = await openDatabase()
    const agent = handAgent()
    await using first = openEngine(database, { agents: [agent] })
    await using second = openEngine(database, { agents: [agent] })
    const runIds = at32.map(() => crypto.randomUUID())
    const results = await Promise.allSettled(
      runIds.map(async (runId, at) => {
        const core = [first, second][at % 2]!
        return await askAgain(core, async () => await startRun(core, { runId, message: `Prompt ${at}` }))
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

  it('does not wait for other sessions: 32 at once all run', async () => {
    await using test = await openOne({ agents: [scriptAgent(answerOf(['to ', 'each']))] })
    const { core } = test
    const runIds = at32.map(() => crypto.randomUUID())
    await Promise.all(
      runIds.map(async (runId, at) => {
        await askAgain(core, async () => await startRun(core, { runId, sessionId: `session-${at}` }))
      }),
    )
    const answers = await Promise.all(runIds.map(async (runId) => answerFrom(await followAll(core, runId))))
    expect(answers.map((answer) => [answer.status, textOf(answer.content)])).toEqual(
      at32.map(() => ['completed', 'to each']),
    )
    await expectIdle(core)
    expect(core.stats().runsEnded.completed).toBe(32)
  })

  it('keeps the order of turns dense, whoever asks', async () => {
    await using database = await openDatabase()
    const agents = [scriptAgent(answerOf(['ok']))]
    await using first = openEngine(database, { agents })
    await using second = openEngine(database, { agents })
    for (let at = 0; at < 6; at++) {
      const core = [first, second][at % 2]!
      const runId = await startRun(core, { message: `Prompt ${at}` })
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

async function rolesOf(core: Awaited<ReturnType<typeof openOne>>['core']) {
  const { items } = await core.messages.list(ada, 'session-1', { order: 'oldest', limit: 100 })
  return items.map((message) => message.role)
}
