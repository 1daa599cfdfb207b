/** `runs.continue`: an answer that reached its greatest length goes on in another message, and no person's prompt is stored. */
import { cutContinuationPrompt, textOf } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import type { Agent, AgentRequest, Engine } from '@verbatim/core/server'
import { describe, expect, it } from 'vitest'
import { messageEnd, messageStart, textDelta } from '../support/agents.ts'
import { openOne } from '../support/engine.ts'
import { ada, answerFrom, followAll, startRun } from '../support/follow.ts'

/** Gives an answer to a prompt in `parts`, one a request; all but the last reach the greatest length. */
function cutAgent(parts: readonly string[], rest: Partial<Agent> = {}): Agent & { requests: AgentRequest[] } {
  const requests: AgentRequest[] = []
  return {
    id: 'cut',
    ...rest,
    requests,
    async *stream(request) {
      const at = requests.push(request) - 1
      yield messageStart(3)
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
      yield textDelta(parts[at] ?? 'All.')
      yield { type: 'content_block_stop', index: 0 }
      yield* messageEnd(at < parts.length - 1 ? 'max_tokens' : 'end_turn', 2)
    },
  }
}

async function ended(engine: Engine, runId: string): Promise<string> {
  expect(answerFrom(await followAll(engine, runId)).status).toBe('completed')
  return runId
}

const start = async (engine: Engine, message = 'Question') => await ended(engine, await startRun(engine, { message }))

async function goOn(engine: Engine, runId: string, newRunId: string = crypto.randomUUID()): Promise<string> {
  await engine.runs.continue(ada, { runId, newRunId })
  return await ended(engine, newRunId)
}

async function messagesOf(engine: Engine): Promise<Message[]> {
  return (await engine.messages.list(ada, 'session-1', { order: 'oldest', limit: 100 })).items
}

const textsOf = ({ messages }: Pick<AgentRequest, 'messages'>) => messages.map(({ content }) => textOf(content))

describe('an answer that reached its greatest length', () => {
  it('An answer goes on as often as it is cut, and the model receives all of it, the question included', async () => {
    const agent = cutAgent(['One, ', 'two, ', 'three.'], { maxHistoryMessages: 1 })
    await using test = await openOne({ agents: [agent] })
    const first = await start(test.engine)
    const second = await goOn(test.engine, first)
    const third = await goOn(test.engine, second)
    const messages = await messagesOf(test.engine)
    expect(messages.map(({ role, runId, continuationOf }) => [role, runId, continuationOf])).toEqual([
      ['user', first, null],
      ['assistant', first, null],
      ['user', second, first],
      ['assistant', second, first],
      ['user', third, second],
      ['assistant', third, second],
    ])
    expect(textsOf({ messages })).toEqual([
      'Question',
      'One, ',
      cutContinuationPrompt,
      'two, ',
      cutContinuationPrompt,
      'three.',
    ])
    expect(textsOf(agent.requests[2]!)).toEqual(textsOf({ messages }).slice(0, -1))
    // The parts are one answer: a retry of its first run replaces all of them.
    const again = crypto.randomUUID()
    await test.engine.runs.retry(ada, { runId: first, newRunId: again })
    await ended(test.engine, again)
    await start(test.engine, 'Next')
    expect(textsOf(agent.requests.at(-1)!)).toEqual(['Next'])
    expect((await test.engine.sessions.get(ada, 'session-1')).title).toBe('Question')
  })

  it('A call that is repeated is one run, and its id is taken for every other call', async () => {
    const agent = cutAgent(['One, ', 'two.'])
    await using test = await openOne({ agents: [agent] })
    const first = await start(test.engine)
    const newRunId = crypto.randomUUID()
    const calls = Array.from({ length: 5 }, async () => {
      return await test.engine.runs.continue(ada, { runId: first, newRunId })
    })
    expect(new Set((await Promise.all(calls)).map(({ messageId }) => messageId)).size).toBe(1)
    await ended(test.engine, newRunId)
    expect(await messagesOf(test.engine)).toHaveLength(4)
    const retrying = test.engine.runs.retry(ada, { runId: first, newRunId })
    await expect(retrying).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
  })
})

describe('runs.continue is refused', () => {
  it('An answer that is whole has no rest, and neither has one that the session has gone on after', async () => {
    const agent = cutAgent(['One, ', 'two.'])
    await using test = await openOne({ agents: [agent] })
    const { engine } = test
    const cut = await start(engine)
    const whole = await start(engine, 'Next')
    for (const runId of [cut, whole]) {
      await expect(goOn(engine, runId)).rejects.toMatchObject({ code: 'RUN_NOT_RETRYABLE' })
    }
    await expect(goOn(engine, crypto.randomUUID())).rejects.toMatchObject({ code: 'RUN_NOT_FOUND' })
    expect(await messagesOf(engine)).toHaveLength(4)
    expect((await engine.sessions.get(ada, 'session-1')).activeRunId).toBeNull()
  })
})
