import { emptyAnswer, reduceEvents, textOf } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import { describe, expect, inject, it } from 'vitest'
import { ada, followAll } from '../support/follow.ts'

function wordsAgent(words: readonly string[], pause: () => Promise<void> = () => Promise.resolve()): Agent {
  return {
    id: 'words',
    async *stream(): AsyncGenerator<AgentEvent> {
      yield { type: 'message_start', message: { model: 'words-1', usage: { input_tokens: 3 } } }
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
      for (const text of words) {
        await pause()
        yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
      }
      yield { type: 'content_block_stop', index: 0 }
      yield {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: words.length },
      }
      yield { type: 'message_stop' }
    },
  }
}

describe('the engine', () => {
  it('a prompt becomes a stored answer that equals what was streamed', async () => {
    await using test = await openTestEngine({ uri: inject('mongoUri'), agents: [wordsAgent(['Hel', 'lo ', 'world'])] })
    const { engine } = test
    const runId = crypto.randomUUID()
    const run = await engine.runs.start(ada, { sessionId: 's1', runId, message: 'Say hello' })
    const events = await followAll(engine, runId)
    const answer = reduceEvents(emptyAnswer, { firstSeq: 1, events })
    expect(answer.status).toBe('completed')
    expect(textOf(answer.content)).toBe('Hello world')
    const messages = await engine.messages.list(ada, 's1', { limit: 10, order: 'oldest' })
    expect(messages.items.map((message) => [message.seq, message.role, textOf(message.content)])).toEqual([
      [1, 'user', 'Say hello'],
      [2, 'assistant', 'Hello world'],
    ])
    expect(messages.items[1]).toMatchObject({ id: run.messageId, status: 'completed', metrics: answer.metrics })
    expect(answer.metrics).toMatchObject({
      inputTokens: 3,
      outputTokens: 3,
      totalTokens: 6,
      cycles: 1,
      model: 'words-1',
    })
    expect((await engine.sessions.get(ada, 's1')).activeRunId).toBeNull()
  })

  it('a follow from every cursor replays exactly the rest', async () => {
    const words = Array.from({ length: 40 }, (_, at) => `w${at} `)
    await using test = await openTestEngine({
      uri: inject('mongoUri'),
      agents: [wordsAgent(words, () => new Promise(setImmediate))],
    })
    const { engine } = test
    const runId = crypto.randomUUID()
    await engine.runs.start(ada, { sessionId: 's1', runId, message: 'Count' })
    const all = await followAll(engine, runId)
    for (let after = 0; after <= all.length; after++) {
      expect(await followAll(engine, runId, { after })).toEqual(all.slice(after))
    }
    await expect(followAll(engine, runId, { after: all.length + 1 })).rejects.toMatchObject({ code: 'INVALID_CURSOR' })
  })
})
