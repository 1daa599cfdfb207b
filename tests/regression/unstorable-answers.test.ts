/** What an agent makes and no database could hold must fail its run at once: a run that can never be stored would never end. */
import { emptyAnswer, ownerOf, reduceEvents, type AgentEvent, type RunEvent } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

function agentOf(events: readonly AgentEvent[]): Agent {
  return {
    id: 'odd',
    async *stream() {
      yield* events
    },
  }
}

function toolUse(input: never): AgentEvent {
  return { type: 'content_block_start', index: 0, content_block: { type: 'tool_use', id: 't', name: 'n', input } }
}

/** 300,000 numbers are 600 KB of JSON each time, and ten times that as BSON. */
const numbers = `[${'1,'.repeat(299_999)}1]`

const odd: [string, AgentEvent[], string][] = [
  [
    'JSON that is nested 257 levels deep',
    [toolUse(JSON.parse(`${'['.repeat(257)}${']'.repeat(257)}`) as never)],
    'INTERNAL',
  ],
  ['an endless number', [toolUse({ a: Number.POSITIVE_INFINITY } as never)], 'INTERNAL'],
  [
    'a skipped block index',
    [{ type: 'content_block_start', index: 1, content_block: { type: 'text', text: '' } }],
    'INTERNAL',
  ],
  [
    'tool inputs that grow over a document',
    [
      toolUse({} as never),
      ...Array.from({ length: 4 }, (): AgentEvent => ({
        type: 'content_block_delta',
        index: 0,
        delta: { type: 'input_json_delta', partial_json: numbers },
      })),
    ],
    'MESSAGE_TOO_LARGE',
  ],
]

it.each(odd)('an answer with %s fails its run, and the session is free', async (_name, events, code) => {
  await using test = await openTestEngine({ uri: inject('mongoUri'), agents: [agentOf(events)] })
  const { engine } = test
  const runId = crypto.randomUUID()
  await engine.runs.start(ada, { sessionId: 's', runId, message: 'go' })
  const seen: RunEvent[] = []
  for await (const batch of engine.runs.follow(ada, runId, { signal: AbortSignal.timeout(25_000) }))
    seen.push(...batch.events)
  expect(reduceEvents(emptyAnswer, { firstSeq: 1, events: seen })).toMatchObject({ status: 'failed', error: { code } })
  const [, answer] = (await engine.messages.list(ada, 's', { order: 'oldest', limit: 10 })).items
  expect(answer?.status).toBe('failed')
  expect((await engine.sessions.get(ada, 's')).activeRunId).toBeNull()
})
