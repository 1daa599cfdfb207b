import { maxPromptBytes, textOf } from '@verbatim/core'
import type { ContentBlock, Message } from '@verbatim/core'
import type { Agent, Engine } from '@verbatim/core/server'
import { describe, expect, it } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { askAgain } from '../support/ask-again.ts'
import { openDatabase, openEngine, openOne } from '../support/engine.ts'
import { ada, followAll, startRun } from '../support/follow.ts'
import { noMetrics } from '../support/metrics.ts'

const sessionId = 'session-1'
const role = 'user' as const

type AppendInput = Parameters<Engine['messages']['append']>[1]

/** One of many appends at once. */
async function appendConcurrently(engine: Engine, input: AppendInput): Promise<Message> {
  const message = { messageId: crypto.randomUUID(), ...input }
  return await askAgain(engine, async () => await engine.messages.append(ada, message))
}

describe('append a message', () => {
  it('an append that is repeated returns the same message, and one with other content is refused', async () => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const { messages } = test.engine
    const message = { sessionId, role, content: 'Imported', messageId: crypto.randomUUID() }
    const first = await messages.append(ada, message)
    expect(first).toMatchObject({ seq: 1, status: 'completed', runId: null, agentId: null, metrics: null })
    expect(await messages.append(ada, message)).toEqual(first)
    const all = await Promise.all(
      Array.from({ length: 16 }, async () => await appendConcurrently(test.engine, message)),
    )
    expect(new Set(all.map((one) => JSON.stringify(one)))).toEqual(new Set([JSON.stringify(first)]))
    const reused = { code: 'MESSAGE_ID_REUSED', data: { field: 'messageId' } }
    await expect(messages.append(ada, { ...message, content: 'Other' })).rejects.toMatchObject(reused)
    await expect(messages.append(ada, { ...message, role: 'assistant' })).rejects.toMatchObject(reused)
    expect(await messages.append(ada, { ...message, sessionId: 'session-2' })).toMatchObject({ seq: 1 })
    expect((await test.engine.sessions.get(ada, sessionId)).messageCount).toBe(1)
  })

  it('an append with an expected head is stored only when the session has that many messages', async () => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const { messages } = test.engine
    await messages.append(ada, { sessionId, role, content: 'one', expectedHead: 0 })
    const stale = messages.append(ada, { sessionId, role, content: 'not two', expectedHead: 0 })
    await expect(stale).rejects.toMatchObject({ code: 'HEAD_MOVED', retryable: false })
    await expect(messages.append(ada, { sessionId, role, content: 'x', expectedHead: 5 })).rejects.toMatchObject({
      code: 'HEAD_MOVED',
    })
    expect(await messages.append(ada, { sessionId, role, content: 'two', expectedHead: 1 })).toMatchObject({ seq: 2 })
  })

  it('an append that is repeated after a lost answer returns the same message, whatever the head is by then', async () => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const { messages } = test.engine
    const first = { sessionId, role, content: 'one', messageId: crypto.randomUUID(), expectedHead: 0 }
    const stored = await messages.append(ada, first)
    expect(await messages.append(ada, first)).toEqual(stored)
    await messages.append(ada, { sessionId, role, content: 'two', expectedHead: 1 })
    expect(await messages.append(ada, first)).toEqual(stored)
    const reused = { code: 'MESSAGE_ID_REUSED' }
    await expect(messages.append(ada, { ...first, content: 'other' })).rejects.toMatchObject(reused)
    expect((await test.engine.sessions.get(ada, sessionId)).messageCount).toBe(2)
  })

  it('of many appends on two processes with one expected head exactly one is stored', async () => {
    await using database = await openDatabase()
    const agents = [pacedAgent([])]
    await using first = openEngine(database, { agents })
    await using second = openEngine(database, { agents })
    await first.messages.append(ada, { sessionId, role, content: 'start' })
    const racing = Array.from({ length: 16 }, async (_, at) => {
      const message = { sessionId, role, content: `racer ${at}`, expectedHead: 1 }
      return await appendConcurrently([first, second][at % 2]!, message)
    })
    const results = await Promise.allSettled(racing)
    expect(results.filter((result) => result.status === 'fulfilled')).toHaveLength(1)
    const reasons: unknown[] = results.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []))
    for (const reason of reasons) expect(reason).toMatchObject({ code: 'HEAD_MOVED' })
  })

  it('many appends at once make a dense order without a gap', async () => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const { messages } = test.engine
    const contents = Array.from({ length: 24 }, (_, at) => `message ${at}`)
    await Promise.all(
      contents.map(async (content) => await appendConcurrently(test.engine, { sessionId, role, content })),
    )
    const { items } = await messages.list(ada, sessionId, { order: 'oldest', limit: 100 })
    expect(items.map((message) => message.seq)).toEqual(contents.map((_, at) => at + 1))
    expect(new Set(items.map((message) => JSON.stringify(message.content))).size).toBe(24)
  })

  it('an append to a busy session is refused and names the run', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent] })
    const activeRunId = await startRun(test.engine)
    const busy = test.engine.messages.append(ada, { sessionId, role, content: 'Me too' })
    await expect(busy).rejects.toMatchObject({ code: 'SESSION_BUSY', data: { activeRunId } })
    agent.end()
    await followAll(test.engine, activeRunId)
    expect(await test.engine.messages.append(ada, { sessionId, role, content: 'Me too' })).toMatchObject({ seq: 3 })
  })

  it('an append keeps who said it, how it was made and how it ended, and a repeat that differs in one of them is refused', async () => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const { messages } = test.engine
    const metrics = { ...noMetrics, inputTokens: 3, outputTokens: 5, totalTokens: 8 }
    const said = { agentId: 'own', metrics, status: 'cancelled' } as const
    const message = { sessionId, role: 'assistant', content: 'Half', messageId: crypto.randomUUID(), ...said } as const
    const stored = await messages.append(ada, message)
    expect(stored).toMatchObject({ ...said, runId: null })
    expect(await messages.append(ada, message)).toEqual(stored)
    for (const other of [{ agentId: 'other' }, { metrics: noMetrics }, { status: 'failed' as const }]) {
      const changed = messages.append(ada, { ...message, ...other })
      await expect(changed).rejects.toMatchObject({ code: 'MESSAGE_ID_REUSED' })
    }
  })

  it.each([
    ['metrics', { metrics: noMetrics }],
    ['status', { status: 'failed' as const }],
  ])('an append of a user message with %s is refused and nothing is stored', async (field, given) => {
    await using test = await openOne({ agents: [pacedAgent([])] })
    const wrong = test.engine.messages.append(ada, { sessionId, role, content: 'Hello', ...given })
    await expect(wrong).rejects.toMatchObject({ code: 'INVALID_INPUT', data: { field } })
    await expect(test.engine.sessions.get(ada, sessionId)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
  })

  it('an agent does not receive an appended answer that was refused, nor the prompt before it', async () => {
    const seen: string[] = []
    const listener: Agent = {
      id: 'listener',
      async *stream({ messages }) {
        seen.push(...messages.map((message) => textOf(message.content)))
        yield* answerOf(['ok'])
      },
    }
    await using test = await openOne({ agents: [listener] })
    const { messages } = test.engine
    await messages.append(ada, { sessionId, role, content: 'Bad' })
    await messages.append(ada, { sessionId, role: 'assistant', content: 'No', status: 'refused' })
    await messages.append(ada, { sessionId, role: 'assistant', content: 'Ask me something else' })
    await followAll(test.engine, await startRun(test.engine, { message: 'Good' }))
    expect(seen).toEqual(['Ask me something else', 'Good'])
  })

  it('an append keeps its blocks as they are, and the agent receives them', async () => {
    const seen: unknown[] = []
    await using test = await openOne({
      agents: [
        {
          id: 'listener',
          async *stream({ messages }) {
            seen.push(...messages.map((message) => message.content))
            yield* answerOf(['ok'])
          },
        },
      ],
    })
    const content: ContentBlock[] = [
      { type: 'text', text: 'Look' },
      { type: 'tool_use', id: 't1', name: 'find', input: { $gt: { 'a.b': [1, null, true] } } },
    ]
    const stored = await test.engine.messages.append(ada, { sessionId, role: 'assistant', content })
    expect(stored.content).toEqual(content)
    await followAll(test.engine, await startRun(test.engine, { message: 'Go on' }))
    expect(seen).toEqual([content, [{ type: 'text', text: 'Go on' }]])
  })
})

it('a message of 1 MB is refused and nothing is stored', async () => {
  await using test = await openOne({ agents: [pacedAgent([])] })
  const large = test.engine.messages.append(ada, { sessionId, role, content: 'x'.repeat(1024 * 1024) })
  const refused = { code: 'MESSAGE_TOO_LARGE', data: { maxBytes: maxPromptBytes, field: 'content' } }
  await expect(large).rejects.toMatchObject(refused)
  await expect(test.engine.sessions.get(ada, sessionId)).rejects.toMatchObject({ code: 'SESSION_NOT_FOUND' })
})
