import { ownerOf, type AgentEvent, type RunEvent } from '@verbatim/core'
import { createServerCore } from '@verbatim/core/server'
import type { Agent } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

it('wakes a follower of a run that another process writes by the change stream, without the poll', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const arrived = new EventTarget()
  const agent: Agent = {
    id: 'held',
    async *stream(): AsyncGenerator<AgentEvent> {
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
      for (const text of ['one ', 'two ', 'three']) {
        // Each step is made only after the one before has arrived at the other process.
        await new Promise((resolve) => arrived.addEventListener('batch', resolve, { once: true }))
        yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
      }
      await new Promise((resolve) => arrived.addEventListener('batch', resolve, { once: true }))
      yield { type: 'content_block_stop', index: 0 }
    },
  }
  // A poll would come after the test's end: only hints can wake the follower.
  const options = { pollMs: 600_000 }
  await using writer = createServerCore({ ...database.storage, agents: [agent] }, options)
  await using reader = createServerCore({ ...database.storage, agents: [agent] }, options)
  const runId = crypto.randomUUID()
  await writer.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const events: RunEvent[] = []
  for await (const batch of reader.runs.follow(owner, runId, { signal: AbortSignal.timeout(20_000) })) {
    events.push(...batch.events)
    if (batch.events.some((event) => event.type.startsWith('content_block'))) arrived.dispatchEvent(new Event('batch'))
  }
  expect(events.map((event) => event.type)).toEqual([
    'run_started',
    'content_block_start',
    'content_block_delta',
    'content_block_delta',
    'content_block_delta',
    'content_block_stop',
    'run_completed',
  ])
})
