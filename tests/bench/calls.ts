/** What single calls take at sessions of any length: a turn whose model answers at once, a message, the newest 50 messages. */
import { ownerOf } from '@verbatim/core'
import { createClient } from '@verbatim/client'
import { createMongoClient, createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import type { Engine } from '@verbatim/core/server'
import type { Db } from 'mongodb'
import { agents } from './agents.ts'
import { BenchServer, openBenchDatabase } from './bench-server.ts'
import { post } from './http-client.ts'
import type { BenchContext, Table } from './group.ts'
import { say } from './group.ts'
import { ascending, quantile, round } from './statistics.ts'

const lengths = [10, 600, 10_000] as const

/** One way to make the calls. */
interface Caller {
  turn(sessionId: string): Promise<void>
  append(sessionId: string): Promise<void>
  listNewest(sessionId: string): Promise<void>
}

export async function measureCalls({ mongoUri, isQuick }: BenchContext): Promise<Table[]> {
  const times = isQuick ? 5 : 100
  await using database = openBenchDatabase(mongoUri)
  const { databaseName } = database
  await using server = await BenchServer.start({ uri: mongoUri, databaseName })
  const client = createMongoClient(mongoUri)
  const engine = createEngine({ ...createMongoStorage({ client, databaseName, clock: systemClock }), agents })
  const callers = { core: callEngine(engine), tRPC: callServer(server.port) }
  const rows: Table['rows'][number][] = []
  for (const length of lengths) {
    for (const [by, caller] of Object.entries(callers)) {
      const sessionId = `session-${by}-${length}`
      await caller.turn(sessionId) // makes it
      await fillSession(client.db(databaseName), sessionId, length)
      const p50Of = async (call: Caller['turn']) => await measureCall(() => call(sessionId), times)
      const listMs = await p50Of(caller.listNewest)
      const appendMs = await p50Of(caller.append)
      const turnMs = await p50Of(caller.turn)
      const messages = { by, 'messages at first': length }
      rows.push({ ...messages, 'turn p50 ms': turnMs, 'append p50 ms': appendMs, 'newest 50 p50 ms': listMs })
    }
    say(`calls at ${length} messages are done`)
  }
  await engine.close()
  await client.close()
  await server.stop()
  return [
    {
      title: 'One call after another, at any length (aim: turn 12 ms, append 3, newest 50 2 by core and 4 by tRPC)',
      rows,
    },
  ]
}

function callEngine({ runs, messages }: Engine): Caller {
  const owner = ownerOf({ userId: 'bench', tenantId: 'default', scopes: [] })
  return {
    async turn(sessionId) {
      const runId = crypto.randomUUID()
      await runs.start(owner, { runId, sessionId, agentId: 'instant', message: 'Talk' })
      for await (const _batch of runs.follow(owner, runId));
    },
    async append(sessionId) {
      await messages.append(owner, { sessionId, role: 'user', content: 'A note' })
    },
    async listNewest(sessionId) {
      await messages.list(owner, sessionId, { order: 'newest', limit: 50 })
    },
  }
}

function callServer(port: number): Caller {
  const client = createClient({ url: `http://127.0.0.1:${port}` })
  return {
    async turn(sessionId) {
      for await (const _text of client.chat(sessionId).send('Talk', { agentId: 'instant' }).text);
    },
    async append(sessionId) {
      await post(port, '/trpc/messages.append', JSON.stringify({ sessionId, role: 'user', content: 'A note' }))
    },
    async listNewest(sessionId) {
      await client.messages.list(sessionId, { order: 'newest', limit: 50 })
    },
  }
}

/** The median, in milliseconds. The first tenth warms up. */
async function measureCall(call: () => Promise<void>, times: number): Promise<number> {
  const tookMs: number[] = []
  for (let nth = 0; nth < times * 1.1; nth++) {
    const beganMs = performance.now()
    await call()
    tookMs.push(performance.now() - beganMs)
  }
  return round(quantile(ascending(tookMs.slice(Math.floor(times / 10))), 0.5))
}

/** Copies of the two messages that it has, written directly. */
async function fillSession(db: Db, sessionId: string, length: number): Promise<void> {
  const messages = db.collection('messages')
  const [user, assistant] = await messages.find({ sessionId }).sort({ seq: 1 }).toArray()
  const copies = Array.from({ length: length - 2 }, (_, at) => {
    const id = crypto.randomUUID()
    return { ...(at % 2 === 0 ? user : assistant), _id: `copy-${id}`.slice(0, 32) as never, id, seq: at + 3 }
  })
  await messages.insertMany(copies)
  await db.collection('sessions').updateOne({ id: sessionId }, { $set: { head: length } })
}
