import { claude } from '@verbatim/core/claude'
import { createSessionManager } from '@verbatim/core/server'
import { MongoClient } from 'mongodb'
import { mongo } from '../mongo.ts'

await using session = await createSessionManager({ ...mongo, sessionId: 'user-123', agents: [claude()] })

// With the answer.
const { metrics } = await session.send('Explain quantum computing').message
console.log(`Latency: ${metrics?.latencyMs} ms, first token after ${metrics?.timeToFirstTokenMs} ms`)
console.log(`Tokens: ${metrics?.inputTokens} in, ${metrics?.outputTokens} out, ${metrics?.totalTokens} in total`)

// From the history.
const last = (await session.history()).at(-1)
console.log(`Stored: ${last?.metrics?.totalTokens} tokens by ${last?.agentId}`)

// From MongoDB, as in its shell.
await using client = new MongoClient(mongo.uri)
const db = client.db(mongo.databaseName)
const stored = await db.collection('sessions').findOne({ id: 'user-123' })
const [newest] = await db
  .collection('messages')
  .find({ s: stored?._id, b: 'main', role: 'assistant' })
  .sort({ seq: -1 })
  .limit(1)
  .toArray()
console.log(`In MongoDB: ${newest?.['metrics'].totalTokens} tokens`)
