/**
 * A program that embeds the engine, does one turn, closes it and then has nothing more to do: it must end by itself.
 * Argument: the MongoDB URI. Prints the answer.
 */
import { answerOf, pacedAgent } from './agents.ts'
import { SessionManagerFactory } from '@verbatim/core/server'
import { textOf } from '@verbatim/core'

const [uri = ''] = process.argv.slice(2)
const databaseName = `verbatim-test-${crypto.randomUUID().slice(0, 13)}`
// An agent that never comes back is running when the program ends, and must not hold it up either.
const stuck = {
  id: 'stuck',
  stream: () => ({ [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => {}) }) }),
}

{
  await using factory = await SessionManagerFactory.connect({
    uri,
    databaseName,
    agents: [pacedAgent(answerOf(['It ', 'ends'])), stuck],
  })
  await using session = factory.createSessionManager({ sessionId: 'session-1' })
  await session.send('Will you end?').message
  const [, answer] = await session.history()
  await factory.createSessionManager({ sessionId: 'session-2' }).send('Hang', { agentId: 'stuck' }).started
  process.stdout.write(textOf(answer?.content ?? []))
}

const { createMongoClient } = await import('@verbatim/core/mongodb')
const client = createMongoClient(uri)
await client.db(databaseName).dropDatabase()
await client.close()
