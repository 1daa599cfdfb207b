import { createClient } from '@verbatim/client'
import { textOf, type RunEvent } from '@verbatim/core'
import { openTestDatabase } from '@verbatim/core/testing'
import { startServerProgram } from '@verbatim/test-kit/process'
import { expect, inject, it, vi } from 'vitest'
import { waitOptions } from '../support/follow.ts'

/** A server process over the database, once it listens. */
const startServer = async (databaseName: string) =>
  await startServerProgram(new URL('../support/server-process.ts', import.meta.url), {
    args: [inject('mongoUri'), databaseName],
  })

function textOfEvents(events: readonly RunEvent[]): string {
  return events
    .flatMap((event) =>
      event.type === 'content_block_delta' && event.delta.type === 'text_delta' ? [event.delta.text] : [],
    )
    .join('')
}

it('after a server is killed in mid-answer, what was seen is kept and recovery ends the run', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const seen: RunEvent[] = []
  let runId = ''
  let cursor = ''
  {
    await using killed = await startServer(database.databaseName)
    await using client = createClient({ url: killed.url })
    const run = client.chat('s').send('Count')
    runId = run.id
    for await (const batch of run.batches) {
      seen.push(...batch.events)
      cursor = batch.cursor
      if (seen.length > 30) break
    }
    // Killed here, in mid-answer: SIGKILL, so nothing can be tidied up.
  }
  const textSeen = textOfEvents(seen)
  expect(textSeen).toMatch(/^1 2 3 /)

  await using restarted = await startServer(database.databaseName)
  await using client = createClient({ url: restarted.url })
  // What was seen is readable at once, from the start, on the new server.
  const again = client.runs.follow(runId)
  const replayed: RunEvent[] = []
  for await (const event of again) {
    replayed.push(event)
    if (replayed.length === seen.length) break
  }
  expect(replayed).toEqual(seen)

  // The lease of the dead process expires, here without a wait for it.
  const runs = database.client.db(database.databaseName).collection('runs')
  const expired = { $set: { 'lease.renewedAt': new Date(0) } }
  expect((await runs.updateMany({ status: 'running' }, expired)).modifiedCount).toBe(1)

  // Recovery ends the run, and a reader that returns with the old cursor gets the rest of it and its end.
  const rest: RunEvent[] = []
  for await (const event of client.runs.follow(runId, { after: cursor })) rest.push(event)
  expect(rest.at(-1)?.type).toBe('run_interrupted')
  expect(rest.filter((event) => event.type.startsWith('run_'))).toHaveLength(1)

  const { items } = await client.messages.list('s')
  expect(items.map((message) => [message.seq, message.role, message.status])).toEqual([
    [1, 'user', 'completed'],
    [2, 'assistant', 'interrupted'],
  ])
  const stored = textOf(items[1]?.content ?? [])
  expect(stored).toBe(textOfEvents([...seen, ...rest]))

  // The session is free again.
  const next = client.chat('s').send('Count again')
  await next.started
  await vi.waitFor(() => expect(textOf(next.answer.content)).toMatch(/^1 2 3 /), waitOptions)
  await next.cancel()
  expect((await next.message).status).toBe('cancelled')
})
