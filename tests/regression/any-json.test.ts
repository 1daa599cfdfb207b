/** Any JSON that a model writes can be stored, and comes back as it was: live, from the log, from the archive and from the message. */
import { ownerOf, reduceEvents, emptyAnswer, type AgentEvent, type ContentBlock, type RunEvent } from '@verbatim/core'
import type { Agent, Engine } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import fc from 'fast-check'
import { expect, inject, it, vi } from 'vitest'
import { anyJson } from '../support/any-content.ts'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

const samples = [
  '{"doc":{"_bsontype":1}}',
  '{"_bsontype":"ObjectId","id":"x"}',
  '{"toBSON":null}',
  '{"__proto__":{"a":1}}',
  '{"a\\u0000b":1}',
  `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`,
  `${'['.repeat(255)}${']'.repeat(255)}`,
]

function writes(inputs: readonly string[]): Agent {
  return {
    id: 'writer',
    async *stream(): AsyncGenerator<AgentEvent> {
      for (const [index, text] of inputs.entries()) {
        const id = `call-${index}`
        yield { type: 'content_block_start', index, content_block: { type: 'tool_use', id, name: 'any', input: {} } }
        yield { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json: text } }
        yield { type: 'content_block_stop', index }
      }
      const citation = JSON.parse(inputs[0] ?? 'null') as never // any JSON is a citation
      const at = { index: inputs.length }
      yield { type: 'content_block_start', ...at, content_block: { type: 'text', text: 'x', citations: [citation] } }
      yield { type: 'content_block_delta', ...at, delta: { type: 'citations_delta', citation } }
    },
  }
}

async function collect(engine: Engine, runId: string): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  for await (const batch of engine.runs.follow(ada, runId, { signal: AbortSignal.timeout(25_000) }))
    events.push(...batch.events)
  return events
}

function textsOf(content: readonly ContentBlock[]): string[] {
  return content.flatMap((block) => {
    if (block.type === 'tool_use') return [JSON.stringify(block.input)]
    return block.type === 'text' ? (block.citations ?? []).map((one) => JSON.stringify(one)) : []
  })
}

/** What is kept of tool inputs and citations once the run is archived; its session must take the next prompt and go when it is deleted. */
async function keptOf(inputs: readonly string[]): Promise<string[]> {
  const options = { archiveDelayMs: 50 }
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents: [writes(inputs)], options })
  const { engine, database } = test
  const runId = crypto.randomUUID()
  await engine.runs.start(ada, { sessionId: 's', runId, message: 'go' })
  const live = await collect(engine, runId)
  const db = database.client.db(database.databaseName)
  await vi.waitFor(async () => expect(await db.collection('run_archives').countDocuments()).toBeGreaterThan(0))
  const archived = await collect(engine, runId)
  expect(JSON.stringify(archived)).toBe(JSON.stringify(live))
  const { content, status } = reduceEvents(emptyAnswer, { firstSeq: 1, events: archived })
  expect(status).toBe('completed')
  const [, answer] = (await engine.messages.list(ada, 's', { order: 'oldest', limit: 10 })).items
  expect(answer?.content).toEqual(content)
  const next = await engine.runs.start(ada, { sessionId: 's', runId: crypto.randomUUID(), message: 'and now?' })
  await collect(engine, next.id)
  await engine.sessions.delete(ada, { sessionId: 's' })
  expect(await db.collection('messages').countDocuments()).toBe(0)
  return textsOf(answer?.content ?? [])
}

/** The inputs, and the first one as the text block's two citations. */
function expectedOf(inputs: readonly string[]): string[] {
  const citation = inputs[0] ?? ''
  return [...inputs, citation, citation].map((text) => JSON.stringify(JSON.parse(text)))
}

it('JSON with keys of drivers, prototypes and query languages is kept', async () => {
  expect(await keptOf(samples)).toEqual(expectedOf(samples))
})

it('any JSON that a model writes is kept', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(anyJson, { minLength: 1, maxLength: 12 }), async (values) => {
      const inputs = values.map((value) => JSON.stringify(value))
      expect(await keptOf(inputs)).toEqual(expectedOf(inputs))
    }),
    { numRuns: 15, endOnFailure: true },
  )
}, 120_000)
