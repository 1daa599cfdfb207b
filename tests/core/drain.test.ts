import { ownerOf, textOf, type AgentEvent, type RunEvent } from '@verbatim/core'
import { createServerCore } from '@verbatim/core/server'
import type { Agent } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

/** Says `text`, then waits until `release` is called (or for ever). */
function heldAgent(text: string): Agent & { release(): void } {
  const gate = Promise.withResolvers<void>()
  return {
    id: 'held',
    release: gate.resolve,
    async *stream(): AsyncGenerator<AgentEvent> {
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
      yield { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
      await gate.promise
      yield { type: 'content_block_stop', index: 0 }
    },
  }
}

/** Follows until the text has arrived; answers what was seen. */
async function followUntilText(core: ReturnType<typeof createServerCore>, runId: string): Promise<RunEvent[]> {
  const seen: RunEvent[] = []
  for await (const batch of core.runs.follow(owner, runId, { signal: AbortSignal.timeout(10_000) })) {
    seen.push(...batch.events)
    if (seen.some((event) => event.type === 'content_block_delta')) break
  }
  return seen
}

it('lets a running answer end within the grace period, refuses new runs, and then sends followers elsewhere', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const agent = heldAgent('nearly done')
  await using core = createServerCore({ ...database.storage, agents: [agent] })
  const runId = crypto.randomUUID()
  await core.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  await followUntilText(core, runId)
  const drained = core.drain({ graceMs: 60_000 })
  await expect(
    core.runs.start(owner, { sessionId: 't', runId: crypto.randomUUID(), message: 'late' }),
  ).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  agent.release()
  await drained
  expect((await core.runs.get(owner, runId)).status).toBe('completed')
})

it('hands an answer that outlasts the grace period over: another process ends it, and its followers never saw an end here', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const first = createServerCore({ ...database.storage, agents: [heldAgent('half an ans')] })
  const runId = crypto.randomUUID()
  await first.runs.start(owner, { sessionId: 's', runId, message: 'go' })
  const seen = await followUntilText(first, runId)
  const follower = first.runs.follow(owner, runId, { after: seen.length, signal: AbortSignal.timeout(10_000) }).next()
  await Promise.all([expect(follower).rejects.toMatchObject({ code: 'UNAVAILABLE' }), first.drain({ graceMs: 1 })])
  await first.close()

  await using second = createServerCore({ ...database.storage, agents: [heldAgent('')] }, { recoveryMs: 50 })
  const rest: RunEvent[] = []
  for await (const batch of second.runs.follow(owner, runId, {
    after: seen.length,
    signal: AbortSignal.timeout(10_000),
  })) {
    rest.push(...batch.events)
  }
  expect(rest.map((event) => event.type)).toEqual(['run_interrupted'])
  const [, answer] = (await second.messages.list(owner, 's', { order: 'oldest', limit: 10 })).items
  expect(answer).toMatchObject({ status: 'interrupted', runId })
  expect(textOf(answer?.content ?? [])).toBe('half an ans')
})
