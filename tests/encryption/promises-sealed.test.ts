/** The promises again, with every database sealed: order, equality of stream and message, and one writer. */
import '../support/seal-everything.ts'
import { expect, it } from 'vitest'
import { openDatabase, openEngine } from '../support/engine.ts'
import { followAll, startRun } from '../support/follow.ts'
import { echoAgent } from '../support/queue.ts'
import '../promises/p2-exactly-once-in-order.test.ts'
import '../promises/p4-message-equals-stream.test.ts'
import '../promises/p5-one-writer-a-session.test.ts'
import '../core/archive.test.ts'

it('The databases of this file hold no content in clear', async () => {
  await using database = await openDatabase()
  await using engine = openEngine(database, { agents: [echoAgent()] })
  await followAll(engine, await startRun(engine))
  const stored = await database.client.db(database.databaseName).collection('messages').find().toArray()
  expect(stored.map(({ content }) => Array.isArray(content))).toEqual([false, false])
})
