/** The handle that a session manager gives in process: what the client's handle does over the wire, on the engine itself. */
import { textOf, toCursor } from '@verbatim/core'
import { SessionManagerFactory } from '@verbatim/core/server'
import type { Agent, SessionManager } from '@verbatim/core/server'
import { describe, expect, it } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openDatabase, shortLeases } from '../support/engine.ts'
import { waitOptions } from '../support/follow.ts'

async function openSession(agent: Agent) {
  const database = await openDatabase()
  const { client, databaseName } = database
  const factories: SessionManagerFactory[] = []
  const open = async (one: Agent, recoveryMs: number): Promise<SessionManager> => {
    const options = { ...shortLeases, recoveryMs }
    const factory = await SessionManagerFactory.connect({ client, databaseName, agents: [one], options })
    factories.push(factory)
    return factory.createSessionManager({ sessionId: 'session-1' })
  }
  return {
    session: await open(agent, 600_000), // it does not take its own run over
    another: () => factories[0]!.createSessionManager({ sessionId: 'session-1' }),
    /** A second process continues what runs, as if the first were lost. */
    async takeOver(one: Agent) {
      const lost = { 'lease.renewedAt': new Date(0), 'lease.processId': 'lost' }
      await client.db(databaseName).collection('runs').updateMany({ status: 'running' }, { $set: lost })
      await open(one, 30)
    },
    async [Symbol.asyncDispose]() {
      for (const factory of factories) await factory.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

async function read<TItem>(items: AsyncIterable<TItem>): Promise<TItem[]> {
  const all: TItem[] = []
  for await (const item of items) all.push(item)
  return all
}

describe('The handle of SessionManager.send', () => {
  it('a run handle gives text, events, cursors, status and the stored message, and a follow goes on after a cursor', async () => {
    await using opened = await openSession(pacedAgent(answerOf(['Hello ', 'there'])))
    const { session } = opened
    const run = session.send('Hi')
    expect(run.status).toBe('starting')
    expect((await read(run.text)).join('')).toBe('Hello there')
    expect(await run.started).toMatchObject({ id: run.id, sessionId: 'session-1' })
    expect(await run.message).toMatchObject({ runId: run.id, status: 'completed' })
    expect([run.status, run.cursor]).toEqual(['completed', toCursor(run.id, run.answer.lastSeq)])
    const events = await read(run)
    const [first] = await read(run.batches)
    const rest = await read(session.follow(run.id, { after: first?.cursor }))
    expect(rest).toEqual(events.slice(first?.events.length))
    expect(() => session.follow(run.id, { after: 'nonsense' })).toThrow('cursor')
  })

  it('a run handle follows the run that continues an interrupted one', async () => {
    const speaker = manualAgent({ id: 'one', onCrash: 'continue' })
    await using opened = await openSession(speaker)
    const run = opened.session.send('Count')
    const firstId = run.id
    const reading = read(run.text)
    speaker.say('One, two, ')
    await expect.poll(() => textOf(run.answer.content), waitOptions).toBe('One, two, ')
    await opened.takeOver({ ...pacedAgent(answerOf(['three'])), id: 'one', onCrash: 'continue' })
    expect((await reading).join('')).toBe('One, two, three')
    expect(run.segments.map(({ runId }) => runId)).toEqual([firstId, run.id])
    expect(await run.message).toMatchObject({ continuationOf: firstId, status: 'completed' })
  })

  it('a run handle cancels its run and rejects with what the engine refuses', async () => {
    const speaker = manualAgent()
    await using opened = await openSession(speaker)
    const run = opened.session.send('Count')
    await run.started
    const refused = opened.session.send('Me too')
    await expect(refused.message).rejects.toMatchObject({ code: 'SESSION_BUSY' })
    expect([refused.status, refused.error?.code]).toEqual(['error', 'SESSION_BUSY'])
    expect(await run.cancel()).toMatchObject({ status: 'cancelled', hadEnded: false })
    expect(await run.message).toMatchObject({ status: 'cancelled' })
  })

  it('a run handle closes with its manager, and the run goes on', async () => {
    const speaker = manualAgent()
    await using opened = await openSession(speaker)
    const run = opened.session.send('Count')
    const { id } = await run.started
    await opened.session.close()
    await expect(run.message).rejects.toMatchObject({ message: 'The session manager was closed' })
    expect(run.status).toBe('closed')
    speaker.say('One')
    speaker.end()
    expect(textOf((await opened.another().follow(id).message).content)).toBe('One')
  })
})
