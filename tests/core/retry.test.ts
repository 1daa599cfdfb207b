/** `runs.retry`: the same prompt is answered again, and is stored once. */
import { isTerminalEvent, textOf, VerbatimError } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import type { ServerCore } from '@verbatim/core/server'
import { describe, expect, it, vi } from 'vitest'
import { handAgent } from '../support/agents.ts'
import type { HandAgent } from '../support/agents.ts'
import { askAgain } from '../support/ask-again.ts'
import { openDatabase, openEngine, openOne, shortLeases } from '../support/engine.ts'
import { ada, answerFrom, followAll, patience, startRun } from '../support/follow.ts'
import { openMortalEngine } from '../support/mortal-engine.ts'

async function messagesOf(core: ServerCore): Promise<Message[]> {
  return (await core.messages.list(ada, 'session-1', { order: 'oldest', limit: 100 })).items
}

function outline(messages: readonly Message[]): string[] {
  return messages.map(({ role, status, content }) => `${role} ${status}: ${textOf(content)}`)
}

/** A run of the prompt "Question" that says "half" and then fails. */
async function startFailed(core: ServerCore, agent: HandAgent): Promise<string> {
  const runId = await startRun(core, { message: 'Question' })
  agent.yieldNext(
    { type: 'message_start', message: { model: 'm', usage: {} } },
    { type: 'content_block_start', index: 0, content_block: { type: 'text', text: 'half' } },
  )
  agent.fail(new VerbatimError('PROVIDER_ERROR'))
  expect(answerFrom(await followAll(core, runId)).status).toBe('failed')
  return runId
}

async function retry(core: ServerCore, runId: string, newRunId: string = crypto.randomUUID()): Promise<string> {
  await core.runs.retry(ada, { runId, newRunId })
  return newRunId
}

async function complete(core: ServerCore, agent: HandAgent, runId: string): Promise<void> {
  agent.say('whole')
  agent.end()
  expect(answerFrom(await followAll(core, runId)).status).toBe('completed')
}

describe('a retry', () => {
  it('answers the same prompt anew; the answer that went wrong stays, and no agent is given it again', async () => {
    const agent = handAgent()
    await using test = await openOne({ agents: [agent] })
    const { core } = test
    const failed = await startFailed(core, agent)
    const again = await retry(core, failed)
    await complete(core, agent, again)
    const [before, after] = [await core.runs.get(ada, failed), await core.runs.get(ada, again)]
    expect(after).toMatchObject({ status: 'completed', userMessageId: before.userMessageId, retries: failed })
    const messages = await messagesOf(core)
    expect(outline(messages)).toEqual([
      'user completed: Question',
      'assistant failed: half',
      'assistant completed: whole',
    ])
    expect(messages.map(({ retries }) => retries)).toEqual([null, null, failed])
    await complete(core, agent, await startRun(core, { message: 'Next' }))
    const seen = agent.requests.map(({ messages: given }) => given.map(({ content }) => textOf(content)))
    expect(seen).toEqual([['Question'], ['Question'], ['Question', 'whole', 'Next']])
  })

  it('of a retry that failed too, with the smallest window there is, still sees its prompt', async () => {
    const agent = handAgent({ maxHistoryMessages: 1 })
    await using test = await openOne({ agents: [agent] })
    let runId = await startFailed(test.core, agent)
    for (let attempt = 0; attempt < 3; attempt++) {
      runId = await retry(test.core, runId)
      agent.fail(new VerbatimError('PROVIDER_ERROR'))
      await followAll(test.core, runId)
    }
    await complete(test.core, agent, await retry(test.core, runId))
    expect(agent.requests.map(({ messages }) => messages.map(({ content }) => textOf(content)))).toEqual(
      Array.from({ length: 5 }, () => ['Question']),
    )
    expect(await messagesOf(test.core)).toHaveLength(6)
  })

  it('may be of a cancelled or an interrupted run', async () => {
    await using database = await openDatabase()
    const agent = handAgent()
    await using lost = openMortalEngine(database, { agents: [agent], options: shortLeases })
    const cancelled = await startRun(lost.core)
    await lost.core.runs.cancel(ada, cancelled)
    const interrupted = await retry(lost.core, cancelled)
    await lost.lose()
    await using core = openEngine(database, { agents: [agent], options: shortLeases })
    expect(answerFrom(await followAll(core, interrupted)).status).toBe('interrupted')
    await complete(core, agent, await retry(core, interrupted))
  })

  it('of a run that goes on from another one goes on from it too', async () => {
    await using database = await openDatabase()
    const first = handAgent({ onCrash: 'continue' })
    await using lost = openMortalEngine(database, { agents: [first], options: shortLeases })
    const runId = await startRun(lost.core, { message: 'Question' })
    await lost.lose()
    const agent = handAgent({ onCrash: 'continue' })
    await using core = openEngine(database, { agents: [agent], options: shortLeases })
    await vi.waitFor(() => expect(agent.requests).toHaveLength(1), patience)
    agent.fail(new VerbatimError('PROVIDER_ERROR'))
    const { continuedBy } = await core.runs.get(ada, runId)
    await followAll(core, continuedBy ?? '')
    await expect(retry(core, runId)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    const again = await retry(core, continuedBy ?? '')
    await complete(core, agent, again)
    expect(await core.runs.get(ada, again)).toMatchObject({ continues: runId, retries: continuedBy })
    expect((await messagesOf(core)).at(-1)).toMatchObject({ continues: runId, retries: continuedBy })
    const [asked, askedAgain] = agent.requests
    expect(askedAgain?.messages).toEqual(asked?.messages)
  })

  it('is one run however often it is asked for, also at once, by two processes and after its end', async () => {
    await using database = await openDatabase()
    const agent = handAgent()
    await using core = openEngine(database, { agents: [agent] })
    await using other = openEngine(database, { agents: [agent] })
    const failed = await startFailed(core, agent)
    const newRunId = crypto.randomUUID()
    const asks = Array.from({ length: 8 }, async (_, at) => {
      const asked = at % 2 === 0 ? core : other
      return await askAgain(asked, async () => await asked.runs.retry(ada, { runId: failed, newRunId }))
    })
    expect(new Set((await Promise.all(asks)).map(({ messageId }) => messageId)).size).toBe(1)
    await complete(core, agent, newRunId)
    expect(agent.requests).toHaveLength(2)
    expect(await other.runs.retry(ada, { runId: failed, newRunId })).toMatchObject({ status: 'completed' })
    expect(await messagesOf(core)).toHaveLength(3)
  })

  it('asked for under several ids at once is one run; the others are told which', async () => {
    const agent = handAgent()
    await using test = await openOne({ agents: [agent] })
    const { core } = test
    const failed = await startFailed(core, agent)
    const newRunIds = Array.from({ length: 6 }, () => crypto.randomUUID())
    const outcomes = await Promise.allSettled(
      newRunIds.map(async (newRunId) => await askAgain(core, async () => await retry(core, failed, newRunId))),
    )
    const won = outcomes.flatMap((outcome) => (outcome.status === 'fulfilled' ? [outcome.value] : []))
    const refused = outcomes.flatMap((outcome) => (outcome.status === 'rejected' ? [outcome.reason as unknown] : []))
    expect([won.length, refused.length]).toEqual([1, 5])
    for (const error of refused) expect(error).toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: won[0] } })
    await complete(core, agent, won[0] ?? '')
    expect((await followAll(core, won[0] ?? '')).filter(isTerminalEvent)).toHaveLength(1)
  })
})

describe('a retry is refused', () => {
  it('when the run goes on, has completed, or is not there', async () => {
    const agent = handAgent()
    await using test = await openOne({ agents: [agent] })
    const { core } = test
    const runId = await startRun(core)
    await expect(retry(core, runId)).rejects.toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId: runId } })
    await complete(core, agent, runId)
    await expect(retry(core, runId)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    await expect(retry(core, crypto.randomUUID())).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
  })

  it('when the session has gone on behind it', async () => {
    const agent = handAgent()
    await using test = await openOne({ agents: [agent] })
    const { core } = test
    const failed = await startFailed(core, agent)
    await core.messages.append(ada, { sessionId: 'session-1', role: 'user', content: 'Never mind' })
    await expect(retry(core, failed)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    expect((await core.sessions.get(ada, 'session-1')).activeRunId).toBeNull()
  })

  it('under the id of another run', async () => {
    const agent = handAgent()
    await using test = await openOne({ agents: [agent] })
    const { core } = test
    const failed = await startFailed(core, agent)
    await expect(retry(core, failed, failed)).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
    const again = await retry(core, failed)
    await complete(core, agent, again)
    await expect(startRun(core, { runId: again })).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
  })
})
