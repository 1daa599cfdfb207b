/** A run can always end: an end that the database refuses for good is stored without its content, and the session is free. */
import { emptyAnswer, reduceEvents } from '@verbatim/core'
import { createGate, openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, test, vi } from 'vitest'
import { pacedAgent } from '../support/agents.ts'
import { openCrashableEngine } from '../support/crashable-engine.ts'
import { fastLeases, echoAgent, sessionId } from '../support/queue.ts'
import { openEngine } from '../support/engine.ts'
import { holdFailPoint } from '../support/fail-point.ts'
import { ada, followAll, waitOptions } from '../support/follow.ts'

const appName = `refuses-${crypto.randomUUID().slice(0, 8)}`

async function openDatabase() {
  const uri = new URL(inject('mongoUri'))
  uri.searchParams.set('appName', appName)
  return await openTestDatabase(String(uri))
}

/** The code of a document that is too large for MongoDB: no repeat of the same end can be stored. */
function refusedMessages(databaseName: string) {
  return { failCommands: ['insert'], appName, namespace: `${databaseName}.messages`, errorCode: 10_334 }
}

test('a run whose answer the database refuses fails without its content', async () => {
  await using database = await openDatabase()
  const gate = createGate()
  await using engine = openEngine(database, { agents: [echoAgent({ gate })] })
  const first = await engine.runs.start(ada, { sessionId, runId: crypto.randomUUID(), message: 'first' })
  const waiting = { sessionId, runId: crypto.randomUUID(), message: 'second', whenBusy: 'queue' } as const
  await engine.runs.start(ada, waiting)
  await gate.reached()
  await using failPoint = await holdFailPoint()
  await failPoint.set(1, refusedMessages(database.databaseName))
  gate.open()

  const answer = reduceEvents(emptyAnswer, { firstSeq: 1, events: await followAll(engine, first.id) })
  expect(answer).toMatchObject({ status: 'failed', error: { code: 'INTERNAL' } })
  expect(reduceEvents(emptyAnswer, { firstSeq: 1, events: await followAll(engine, waiting.runId) }).status).toBe(
    'completed',
  )
  const { items } = await engine.messages.list(ada, sessionId, { order: 'oldest', limit: 10 })
  expect(items.map(({ status, content }) => [status, content.length])).toEqual([
    ['completed', 1],
    ['failed', 0],
    ['completed', 1],
    ['completed', 1],
  ])
})

test.each(['interrupt', 'continue'] as const)(
  'a lost run whose part the database refuses is ended by the process that takes it over (onCrash: %s)',
  async (onCrash) => {
    await using database = await openDatabase()
    const gate = createGate()
    await using lost = openCrashableEngine(database, {
      agents: [{ ...echoAgent({ gate }), onCrash }],
      options: fastLeases,
    })
    const { id } = await lost.engine.runs.start(ada, { sessionId, runId: crypto.randomUUID(), message: 'first' })
    await gate.reached()
    await vi.waitFor(() => expect(lost.engine.stats().pendingBytes).toBe(0), waitOptions)
    await using failPoint = await holdFailPoint()
    await failPoint.set(onCrash === 'continue' ? 2 : 1, refusedMessages(database.databaseName))
    await lost.crash()
    await using taker = openEngine(database, {
      agents: [{ ...pacedAgent([]), id: 'echo', onCrash }],
      options: fastLeases,
    })

    const answer = reduceEvents(emptyAnswer, { firstSeq: 1, events: await followAll(taker, id) })
    expect(answer).toMatchObject({ status: 'failed', error: { code: 'INTERNAL' }, continuedBy: null })
    expect((await taker.sessions.get(ada, sessionId)).activeRunId).toBeNull()
  },
)
