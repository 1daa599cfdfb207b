/** Content is open: prompts of blocks, and blocks of any type in answers, kept as they came wherever they are read. */
import { emptyAnswer, OtherBlock, reduceEvents } from '@verbatim/core'
import type { AgentEvent, ContentBlock, PromptBlock, ToolResultPart } from '@verbatim/core'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { anyToolResult, anyWholeBlock } from '../support/any-content.ts'
import { dbOf } from '../support/deleted.ts'
import { openDatabase, openEngine, openOne } from '../support/engine.ts'
import { ada, answerFrom, answerMessage, followAll, startRun } from '../support/follow.ts'
import { openTestKeys } from '../support/keys.ts'
import { exportOf, linesOf } from '../support/principals.ts'
import { echoAgent } from '../support/queue.ts'

const image: PromptBlock = {
  type: 'image',
  source: { type: 'base64', media_type: 'image/png', data: 'iVBORw0KGgo=' },
  alt: 'A red square',
}
const paper: PromptBlock = {
  type: 'document',
  source: { type: 'text', media_type: 'text/plain', data: 'All cats are grey.' },
  title: 'On cats',
  citations: { enabled: true },
}
const question: PromptBlock = { type: 'text', text: 'What is this?\nTell me more' }

describe('a prompt of blocks', () => {
  it('A prompt of blocks is stored, given to the agent and read back as it was sent', async () => {
    const agent = pacedAgent(answerOf(['A cat']))
    await using test = await openOne({ agents: [agent] })
    const prompt = [image, paper, question]
    const runId = crypto.randomUUID()
    await test.engine.runs.start(ada, { sessionId: 's', runId, message: prompt })
    await followAll(test.engine, runId)
    const { items } = await test.engine.messages.list(ada, 's', { order: 'oldest', limit: 10 })
    expect(items[0]?.content).toEqual(prompt)
    expect(linesOf(await exportOf(test.engine, ada), 'message')[0]?.message.content).toEqual(prompt)
  })

  it('A prompt of one text block is the same prompt as its text', async () => {
    await using test = await openOne({ agents: [echoAgent()] })
    const input = { sessionId: 's', runId: crypto.randomUUID() }
    await test.engine.runs.start(ada, { ...input, message: 'Hello' })
    const again = { ...input, message: [{ type: 'text' as const, text: 'Hello' }] }
    expect((await test.engine.runs.start(ada, again)).id).toBe(input.runId)
    const other = { ...input, message: [{ type: 'text' as const, text: 'Hello' }, image] }
    await expect(test.engine.runs.start(ada, other)).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
  })

  it('A repeated start with the same blocks is the same run, and with another image it is refused', async () => {
    await using test = await openOne({ agents: [echoAgent()] })
    const input = { sessionId: 's', runId: crypto.randomUUID() }
    await test.engine.runs.start(ada, { ...input, message: [image, question] })
    expect((await test.engine.runs.start(ada, { ...input, message: [image, question] })).id).toBe(input.runId)
    const source = { type: 'base64' as const, media_type: 'image/png' as const, data: 'iVBORw0KGgp=' }
    const changed = { ...input, message: [{ ...image, source } as PromptBlock, question] }
    await expect(test.engine.runs.start(ada, changed)).rejects.toMatchObject({ code: 'RUN_ID_REUSED' })
  })

  it.each<[string, PromptBlock[], string | null]>([
    ['the first text', [image, question], 'What is this?'],
    ['the title of a document', [paper, image], 'On cats'],
    ['what an image shows', [image], 'A red square'],
    ['nothing', [{ type: 'image', source: { type: 'url', url: 'https://example.com/cat.png' } }], null],
  ])('The session of a first prompt of blocks is named after %s', async (_case, message, title) => {
    await using test = await openOne({ agents: [echoAgent()] })
    await test.engine.runs.start(ada, { sessionId: 's', runId: crypto.randomUUID(), message })
    expect((await test.engine.sessions.get(ada, 's')).title).toBe(title)
  })

  it('A prompt whose blocks are over the limit is refused, and nothing is stored', async () => {
    await using test = await openOne({ agents: [echoAgent()] })
    const source = { type: 'base64' as const, media_type: 'image/png' as const, data: 'A'.repeat(513 * 1024) }
    const message: PromptBlock[] = [{ type: 'image', source }]
    const start = test.engine.runs.start(ada, { sessionId: 's', runId: crypto.randomUUID(), message })
    await expect(start).rejects.toMatchObject({ code: 'MESSAGE_TOO_LARGE', data: { field: 'message' } })
    expect(await dbOf(test.database).collection('sessions').countDocuments()).toBe(0)
  })
})

interface Said {
  readonly blocks: readonly ContentBlock[]
  readonly results: readonly ToolResultPart[][]
}

/** Says `blocks` whole in one model call, and the results of tools after it. */
function sayer({ blocks, results }: Said): AgentEvent[] {
  return [
    { type: 'message_start', message: { model: 'm', usage: {} } },
    ...blocks.map((content_block, index): AgentEvent => ({ type: 'content_block', index, content_block })),
    { type: 'message_stop' },
    ...results.map((content, at): AgentEvent => ({
      type: 'tool_result',
      tool_use_id: `call_${at}`,
      content,
      is_error: false,
      durationMs: 1,
    })),
  ]
}

/** What the blocks are wherever they are read: live, in the message, from the archive, in an export. */
async function readEverywhere(said: Said, { isSealed }: { isSealed: boolean }): Promise<unknown[]> {
  const keys = isSealed ? await openTestKeys() : undefined
  await using database = await openDatabase(keys && { keys: keys.keys })
  await using engine = openEngine(database, { agents: [pacedAgent(sayer(said))], options: { archiveDelayMs: 20 } })
  const runId = await startRun(engine)
  const live = await followAll(engine, runId)
  const archives = dbOf(database).collection('run_archives')
  await vi.waitFor(async () => expect(await archives.countDocuments()).toBeGreaterThan(0))
  const archived = await followAll(engine, runId)
  const lines = await exportOf(engine, ada)
  const exported = linesOf(lines, 'events').flatMap(({ events }) => events)
  const inExport = linesOf(lines, 'message').find(({ message }) => message.role === 'assistant')
  await keys?.[Symbol.asyncDispose]()
  return [
    answerFrom(live).content,
    (await answerMessage(engine, runId)).content,
    reduceEvents(emptyAnswer, { firstSeq: 1, events: archived }).content,
    reduceEvents(emptyAnswer, { firstSeq: 1, events: exported }).content,
    inExport?.message.content,
  ]
}

describe('an answer of any blocks', () => {
  it('Blocks of any type come back as they came: live, stored, archived and exported, in clear and sealed', async () => {
    const said = fc.record({
      blocks: fc.array(anyWholeBlock, { minLength: 1, maxLength: 8 }),
      results: fc.array(anyToolResult, { maxLength: 2 }),
      isSealed: fc.boolean(),
    })
    await fc.assert(
      fc.asyncProperty(said, async ({ isSealed, ...one }) => {
        const results = one.results.map((content, at) => ({
          type: 'tool_result',
          tool_use_id: `call_${at}`,
          content,
          is_error: false,
        }))
        const expected = JSON.stringify([...one.blocks, ...results])
        for (const read of await readEverywhere(one, { isSealed })) expect(JSON.stringify(read)).toBe(expected)
      }),
      { numRuns: 12, endOnFailure: true },
    )
  }, 120_000)

  it('A block of a type that no version knows can be appended, and comes back as it was sent', async () => {
    await using test = await openOne({ agents: [echoAgent()] })
    const content = [OtherBlock.parse({ type: 'future_block', content: [{ deep: { _bsontype: 'ObjectId' } }] })]
    const messageId = crypto.randomUUID()
    const message = { sessionId: 's', role: 'assistant', content, messageId } as const
    expect((await test.engine.messages.append(ada, message)).content).toEqual(content)
    expect((await test.engine.messages.append(ada, message)).seq).toBe(1)
    expect((await test.engine.messages.get(ada, 's', messageId)).content).toEqual(content)
  })
})
