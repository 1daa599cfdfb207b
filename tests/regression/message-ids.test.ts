/** The caller receives the id of a run's message when the run starts: whatever it does with the id, the run ends (P3). */
import { createGate } from '@verbatim/core/testing'
import { expect, it } from 'vitest'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, followAll } from '../support/follow.ts'
import { echoAgent, sessionId, start } from '../support/queue.ts'

it('a run ends, although the ids of its messages were used in another session', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  await using engine = openEngine(database, { agents: [echoAgent({ gate })] })
  const first = await start(engine, 'first')
  const second = await start(engine, 'second', { whenBusy: 'queue' })
  const taken = [first.messageId, second.userMessageId, second.messageId]
  for (const messageId of taken) {
    await engine.messages.append(ada, { sessionId: 'elsewhere', role: 'user', content: 'Mine', messageId })
  }
  gate.open()
  for (const run of [first, second]) expect((await followAll(engine, run.id)).at(-1)?.type).toBe('run_completed')
  const { items } = await engine.messages.list(ada, sessionId, { order: 'oldest', limit: 100 })
  expect(items.map(({ id }) => id)).toEqual([
    first.userMessageId,
    first.messageId,
    second.userMessageId,
    second.messageId,
  ])
  for (const messageId of taken) {
    expect(await engine.messages.get(ada, 'elsewhere', messageId)).toMatchObject({ content: [{ text: 'Mine' }] })
  }
})
