/** `runs.retry`: the same prompt is answered again, and is stored once. */
import { isTerminalEvent, textOf, VerbatimError } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { describe, expect, it, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import type { ManualAgent } from '../support/agents.ts'
import { askAgain } from '../support/ask-again.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, waitOptions, startRun } from '../support/follow.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'

async function messagesOf(engine: Engine): Promise<Message[]> {
  return (await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 100 })).items
}

function outline(messages: readonly Message[]): string[] {
  return messages.map(({ role, status, content }) => `${role} ${status}: ${textOf(content)}`)
}

/** A run of the prompt "Question" that says "half" and then fails. */
async function startFailed(engine: Engine, agent: ManualAgent): Promise<string> {
  const runId = await startRun(engine, { message: 'Question' })
  agent.yieldNext(
    { type: 'message_start', message: { model: 'm', usage: {} } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'half' } },
  )
  agent.fail(new VerbatimError('PROVIDER_ERROR'))
  expect(answerFrom(await followAll(engine, runId)).status).toBe('failed')
  return runId
}

async function retry(engine: Engine, runId: string, newRunId: string = crypto.randomUUID()): Promise<string> {
  await engine.runs.retry(ada, { runId, newRunId })
  return newRunId
}

async function complete(engine: Engine, agent: ManualAgent, runId: string): Promise<void> {
  agent.say('whole')
  agent.end()
  expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
}

describe('a retry', () => {
  it('a retry answers the same prompt anew, and no agent receives the failed answer', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const failed = await startFailed(engine, agent)
    const again = await retry(engine, failed)
    await complete(engine, agent, again)
    const [before, after] = [await engine.runs.get(ada, failed), await engine.runs.get(ada, again)]
    expect(after).toMatchObject({ status: 'completed', userMessageId: before.userMessageId, retryOf: failed })
    const messages = await messagesOf(engine)
    expect(outline(messages)).toEqual([
      'user completed: Question',
      'assistant failed: half',
      'assistant completed: whole',
    ])
    expect(messages.map(({ retryOf }) => retryOf)).toEqual([null, null, failed])
    await complete(engine, agent, await startRun(engine, { message: 'Next' }))
    const seen = agent.requests.map(({ messages: given }) => given.map(({ content }) => textOf(content)))
    expect(seen).toEqual([['Question'], ['Question'], ['Question', 'whole', 'Next']])
  })

  it('a retry of a failed retry sees its prompt in the smallest window', async () => {
    const agent = manualAgent({ maxHistoryMessages: 1 })
    await using test = await openOne({ agents: [agent] })
    let runId = await startFailed(test.engine, agent)
    for (let attempt = 0; attempt < 3; attempt++) {
      runId = await retry(test.engine, runId)
      agent.fail(new VerbatimError('PROVIDER_ERROR'))
      await followAll(test.engine, runId)
    }
    await complete(test.engine, agent, await retry(test.engine, runId))
    expect(agent.requests.map(({ messages }) => messages.map(({ content }) => textOf(content)))).toEqual(
      Array.from({ length: 5 }, () => ['Question']),
    )
    expect(await messagesOf(test.engine)).toHaveLength(6)
  })

  it('a retry may be of a cancelled or an interrupted run', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using lost = openCrashableEngine(database, { agents: [agent], options: shortLeases })
    const cancelled = await startRun(lost.engine)
    await lost.engine.runs.cancel(ada, cancelled)
    const interrupted = await retry(lost.engine, cancelled)
    agent.say('One')
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThanOrEqual(3), waitOptions)
    await lost.crash()
    const next = manualAgent()
    await using engine = openEngine(database, { agents: [next], options: shortLeases })
    expect(answerFrom(await followAll(engine, interrupted)).status).toBe('interrupted')
    await complete(engine, next, await retry(engine, interrupted))
  })

  it('a retry of a continuation continues the same run', async () => {
    await using database = await openDatabase()
    const first = manualAgent({ onCrash: 'continue' })
    await using lost = openCrashableEngine(database, { agents: [first], options: shortLeases })
    const runId = await startRun(lost.engine, { message: 'Question' })
    first.say('One')
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThanOrEqual(3), waitOptions)
    await lost.crash()
    const agent = manualAgent({ onCrash: 'continue' })
    await using engine = openEngine(database, { agents: [agent], options: shortLeases })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    agent.fail(new VerbatimError('PROVIDER_ERROR'))
    const { continuedBy } = await engine.runs.get(ada, runId)
    await followAll(engine, continuedBy ?? '')
    const again = await retry(engine, continuedBy ?? '')
    await complete(engine, agent, again)
    expect(await engine.runs.get(ada, again)).toMatchObject({ continuationOf: runId, retryOf: continuedBy })
    expect((await messagesOf(engine)).at(-1)).toMatchObject({ continuationOf: runId, retryOf: continuedBy })
    const [asked, askedAgain] = agent.requests
    expect(askedAgain?.messages).toEqual(asked?.messages)
  })

  it('a retry of a run that was continued makes the whole answer again, also after a retry of its last part', async () => {
    await using database = await openDatabase()
    const first = manualAgent({ onCrash: 'continue' })
    await using lost = openCrashableEngine(database, { agents: [first], options: shortLeases })
    const runId = await startRun(lost.engine, { message: 'Question' })
    first.say('One')
    await vi.waitFor(() => expect(lost.engine.stats().eventsCommitted).toBeGreaterThanOrEqual(3), waitOptions)
    await lost.crash()
    const agent = manualAgent({ onCrash: 'continue' })
    await using engine = openEngine(database, { agents: [agent], options: shortLeases })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), waitOptions)
    const rest = (await engine.runs.get(ada, runId)).continuedBy ?? ''
    await complete(engine, agent, rest)
    const restAgain = await retry(engine, rest)
    await complete(engine, agent, restAgain)
    const whole = await retry(engine, runId)
    await complete(engine, agent, whole)
    expect(await engine.runs.get(ada, whole)).toMatchObject({ retryOf: runId, continuationOf: null })
    // The old parts are stored, and no longer the newest answer.
    const messages = await messagesOf(engine)
    expect(messages.map(({ role, runId: id }) => `${role} ${id}`)).toEqual([
      `user ${runId}`,
      `assistant ${runId}`,
      `user ${rest}`,
      `assistant ${rest}`,
      `assistant ${restAgain}`,
      `assistant ${whole}`,
    ])
    for (const old of [runId, rest, restAgain]) {
      await expect(retry(engine, old)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    }
    const next = await startRun(engine, { message: 'Next' })
    await complete(engine, agent, next)
    const seen = agent.requests.map((request) => request.messages.map((message) => message.runId))
    expect(seen.slice(2)).toEqual([[runId], [runId, whole, next]])
  })

  it('a retry that is repeated, at once, by two processes and after its end is one run', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using engine = openEngine(database, { agents: [agent] })
    await using other = openEngine(database, { agents: [agent] })
    const failed = await startFailed(engine, agent)
    const newRunId = crypto.randomUUID()
    const asks = Array.from({ length: 8 }, async (_, at) => {
      const asked = at % 2 === 0 ? engine : other
      return await askAgain(asked, async () => await asked.runs.retry(ada, { runId: failed, newRunId }))
    })
    expect(new Set((await Promise.all(asks)).map(({ messageId }) => messageId)).size).toBe(1)
    await complete(engine, agent, newRunId)
    expect(agent.requests).toHaveLength(2)
    expect(await other.runs.retry(ada, { runId: failed, newRunId })).toMatchObject({ status: 'completed' })
    expect(await messagesOf(engine)).toHaveLength(3)
  })

  it('retries under several ids at once are one run, and the refusals name it', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const failed = await startFailed(engine, agent)
    const newRunIds = Array.from({ length: 6 }, () => crypto.randomUUID())
    const outcomes = await Promise.allSettled(
      newRunIds.map(async (newRunId) => await askAgain(engine, async () => await retry(engine, failed, newRunId))),
    )
    const won = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
    expect([won.length, refused.length]).toEqual([1, 5])
    for (const error of refused) expect(error).toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: won[0] } })
    await complete(engine, agent, won[0] ?? '')
    expect((await followAll(engine, won[0] ?? '')).filter(isTerminalEvent)).toHaveLength(1)
  })
})

it('a whole answer is made again: the first stays stored, and the model receives the newest one alone', async () => {
  const agent = manualAgent()
  await using test = await openOne({ agents: [agent] })
  const { engine } = test
  const runId = await startRun(engine)
  await complete(engine, agent, runId)
  const again = await retry(engine, runId)
  await complete(engine, agent, again)
  await expect(retry(engine, runId)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
  const third = await retry(engine, again)
  await complete(engine, agent, third)
  const messages = await messagesOf(engine)
  expect(messages.map((message) => [message.role, message.runId, message.retryOf])).toEqual([
    ['user', runId, null],
    ['assistant', runId, null],
    ['assistant', again, runId],
    ['assistant', third, again],
  ])
  const next = await startRun(engine, { message: 'And then?' })
  await complete(engine, agent, next)
  expect(agent.requests.map((request) => request.messages.map((message) => message.runId))).toEqual([
    [runId],
    [runId],
    [runId],
    [runId, third, next],
  ])
})

describe('a retry is refused', () => {
  it('a retry is refused when the run goes on or is unknown', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const runId = await startRun(engine)
    await expect(retry(engine, runId)).rejects.toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: runId } })
    await complete(engine, agent, runId)
    await expect(retry(engine, crypto.randomUUID())).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  })

  it('a retry is refused when the session has a later prompt', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const failed = await startFailed(engine, agent)
    await engine.messages.append(ada, { sessionId: 'session-1', role: 'user', content: 'Never mind' })
    await expect(retry(engine, failed)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    expect((await engine.sessions.get(ada, 'session-1')).activeRunId).toBeNull()
  })

  it('a retry is refused under the id of another run', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const failed = await startFailed(engine, agent)
    await expect(retry(engine, failed, failed)).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
    const again = await retry(engine, failed)
    await complete(engine, agent, again)
    await expect(startRun(engine, { runId: again })).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
  })
})
