/** `sessions.follow`: the newest states of sessions and of lists, whichever process changes them. */
import type { Session, SessionUpdate } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine } from '../support/engine.ts'
import { ada, eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { echoAgent } from '../support/queue.ts'

/** A poll would come after the test's end: only hints can bring a change. */
const hintsOnly = { pollMs: 600_000 }

type Followed = NonNullable<Parameters<Engine['sessions']['follow']>[1]>

/** Follows in the background; what came is checked on the way: of one session each state is newer than the one before. */
function openFollow(engine: Engine, followed: Followed, owner = ada) {
  const over = new AbortController()
  const updates: SessionUpdate[] = []
  const revisions = new Map<string, number>()
  const listed = new Map<string, Session>()
  const take = (kind: string, session: Session) => {
    const key = `${kind} ${session.id}`
    if (session.revision <= (revisions.get(key) ?? -1)) throw new Error(`${key} went back`)
    revisions.set(key, session.revision)
  }
  const run = async () => {
    for await (const update of engine.sessions.follow(owner, { ...followed, signal: over.signal })) {
      updates.push(update)
      if (update.type === 'session' && update.session !== null) take('session', update.session)
      if (update.type === 'list' || update.type === 'list_changed') {
        for (const session of update.sessions) {
          take('list', session)
          listed.set(session.id, session)
        }
      }
      if (update.type === 'list_changed') for (const id of update.removedIds) listed.delete(id)
    }
  }
  const ended = run().catch((error: unknown) => error)
  return {
    updates,
    ended,
    newest: () => updates.at(-1),
    /** The list as a reader has it, newest activity first. */
    list: () => [...listed.values()].toSorted((a, b) => b.updatedAt.localeCompare(a.updatedAt)),
    [Symbol.asyncDispose]: async () => {
      over.abort()
      expect(await ended).toBe(over.signal.reason)
    },
  }
}

describe('a follower of a session', () => {
  it('sees a run that another process starts, its end and a new title by hints alone', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using writer = openEngine(database, { agents: [agent], options: hintsOnly })
    await using reader = openEngine(database, { agents: [agent], options: hintsOnly })
    await using follow = openFollow(reader, { sessionIds: ['session-1'] })
    await vi.waitFor(
      () => expect(follow.newest()).toEqual({ type: 'session', sessionId: 'session-1', session: null }),
      waitOptions,
    )
    const runId = await startRun(writer)
    await vi.waitFor(
      () => expect(follow.newest()).toMatchObject({ session: { activeRunId: runId, messageCount: 1 } }),
      waitOptions,
    )
    agent.say('x')
    agent.end()
    await vi.waitFor(
      () => expect(follow.newest()).toMatchObject({ session: { activeRunId: null, messageCount: 2 } }),
      waitOptions,
    )
    await writer.sessions.update(ada, { sessionId: 'session-1', title: 'Renamed' })
    await vi.waitFor(() => expect(follow.newest()).toMatchObject({ session: { title: 'Renamed' } }), waitOptions)
    expect(follow.newest()).toMatchObject({ session: await writer.sessions.get(ada, 'session-1') })
    await writer.sessions.delete(ada, { sessionId: 'session-1' })
    await vi.waitFor(
      () => expect(follow.newest()).toEqual({ type: 'session_deleted', sessionId: 'session-1' }),
      waitOptions,
    )
  })

  it('sees the queue of the session as it grows, shrinks and moves on', async () => {
    await using database = await openDatabase()
    const agent = manualAgent()
    await using engine = openEngine(database, { agents: [agent] })
    await using follow = openFollow(engine, { sessionIds: ['session-1'] })
    const first = await startRun(engine)
    const [second, third] = [crypto.randomUUID(), crypto.randomUUID()]
    const queued = { sessionId: 'session-1', message: 'later', whenBusy: 'queue' } as const
    await engine.runs.start(ada, { ...queued, runId: second })
    await engine.runs.start(ada, { ...queued, runId: third })
    const queue = (activeRunId: string, queuedRunIds: string[]) =>
      vi.waitFor(() => expect(follow.newest()).toMatchObject({ session: { activeRunId, queuedRunIds } }), waitOptions)
    await queue(first, [second, third])
    await engine.runs.cancel(ada, second)
    await queue(first, [third])
    agent.end()
    await queue(third, [])
    agent.end()
  })

  it('sees every change by the poll when no hint comes', async () => {
    await using database = await openDatabase()
    const wrap = () => ({ sessionWatcher: undefined })
    await using writer = openEngine(database, { agents: [echoAgent()] })
    await using reader = openEngine(database, { agents: [echoAgent()], options: { pollMs: 1_000 }, wrap })
    expect(reader.hints()).toBe('polls')
    await using follow = openFollow(reader, { sessionIds: ['session-1'], list: true })
    await followAll(writer, await startRun(writer))
    await vi.waitFor(() => expect(follow.list()).toMatchObject([{ messageCount: 2, activeRunId: null }]), waitOptions)
    await vi.waitFor(
      () =>
        expect(follow.updates.filter(({ type }) => type === 'session').at(-1)).toMatchObject({
          session: { messageCount: 2 },
        }),
      waitOptions,
    )
    await writer.sessions.delete(ada, { sessionId: 'session-1' })
    await vi.waitFor(() => expect(follow.newest()).toMatchObject({ type: 'session_deleted' }), waitOptions)
  })

  it('receives the newest state only when it reads slowly', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [echoAgent()] })
    await using watcher = openFollow(engine, { sessionIds: ['session-1'] })
    const slow = engine.sessions.follow(ada, { sessionIds: ['session-1'] })
    expect((await slow.next()).value).toMatchObject({ session: null })
    for (let turn = 0; turn < 5; turn++) await followAll(engine, await startRun(engine))
    await vi.waitFor(() => expect(watcher.newest()).toMatchObject({ session: { messageCount: 10 } }), waitOptions)
    expect((await slow.next()).value).toMatchObject({ session: { messageCount: 10, activeRunId: null } })
    await slow.return()
  })
})

describe('a follower of the list', () => {
  it('sees new, renamed, active and deleted sessions of other processes by hints alone', async () => {
    await using database = await openDatabase()
    const agents = [echoAgent()]
    await using writer = openEngine(database, { agents, options: hintsOnly })
    await using reader = openEngine(database, { agents, options: hintsOnly })
    await writer.sessions.create(ada, { sessionId: 'old', title: 'Old' })
    await using follow = openFollow(reader, { list: true })
    await vi.waitFor(
      () => expect(follow.newest()).toMatchObject({ type: 'list', sessions: [{ id: 'old' }], nextCursor: null }),
      waitOptions,
    )
    const shows = (titles: (string | null)[]) =>
      vi.waitFor(() => expect(follow.list().map(({ title }) => title)).toEqual(titles), waitOptions)
    await writer.sessions.create(ada, { sessionId: 'new', title: 'New' })
    await shows(['New', 'Old'])
    await writer.sessions.update(ada, { sessionId: 'old', title: 'Renamed' })
    await shows(['Renamed', 'New'])
    await writer.sessions.delete(ada, { sessionId: 'new' })
    await shows(['Renamed'])
    await followAll(writer, await startRun(writer, { sessionId: 'third', message: 'Third' }))
    await shows(['Third', 'Renamed'])
  })

  it('does not take a session for deleted that newer ones have pushed out, and sees one that comes back', async () => {
    await using database = await openDatabase()
    await using engine = openEngine(database, { agents: [echoAgent()] })
    const ids = Array.from({ length: 51 }, (_, index) => `s-${String(index).padStart(2, '0')}`)
    for (const sessionId of ids.slice(0, 50)) await engine.sessions.create(ada, { sessionId })
    await using follow = openFollow(engine, { list: true })
    await vi.waitFor(() => expect(follow.list()).toHaveLength(50), waitOptions)
    await engine.sessions.create(ada, { sessionId: ids[50]! })
    await vi.waitFor(() => expect(follow.list()).toHaveLength(51), waitOptions)
    await engine.sessions.update(ada, { sessionId: 's-00', title: 'Back' })
    await vi.waitFor(() => expect(follow.list()[0]).toMatchObject({ id: 's-00', title: 'Back' }), waitOptions)
    expect(follow.updates.flatMap((update) => (update.type === 'list_changed' ? update.removedIds : []))).toEqual([])
  })
})

it('a follower sees nothing of another owner, also under the same session id', async () => {
  await using database = await openDatabase()
  await using engine = openEngine(database, { agents: [echoAgent()] })
  await using foreign = openFollow(engine, { sessionIds: ['session-1'], list: true }, eve)
  await using own = openFollow(engine, { sessionIds: ['session-1'], list: true })
  await followAll(engine, await startRun(engine))
  await vi.waitFor(() => expect(own.list()).toMatchObject([{ messageCount: 2 }]), waitOptions)
  await engine.sessions.create(eve, { sessionId: 'of-eve' })
  await vi.waitFor(() => expect(foreign.list()).toMatchObject([{ id: 'of-eve' }]), waitOptions)
  expect(foreign.updates.filter(({ type }) => type === 'session')).toEqual([
    { type: 'session', sessionId: 'session-1', session: null },
  ])
  expect(own.list().map(({ id }) => id)).toEqual(['session-1'])
})

it('a thousand followers cost the database as many reads as one', async () => {
  await using database = await openDatabase()
  const reads: string[] = []
  const wrap = (ports: (typeof database)['storage']) => ({
    sessionStates: new Proxy(ports.sessionStates, {
      get: (states, name) => {
        if (['read', 'readRevisions', 'readNewest', 'probeLists'].includes(String(name))) reads.push(String(name))
        return Reflect.get(states, name) as unknown
      },
    }),
  })
  const followers = 1_000
  await using engine = openEngine(database, { agents: [echoAgent()], options: { pollMs: 600_000 }, wrap })
  await using stack = new AsyncDisposableStack()
  const follows = Array.from({ length: followers }, (_, index) =>
    stack.use(openFollow(engine, { sessionIds: [`s-${index}`], list: true })),
  )
  await vi.waitFor(() => expect(follows.every(({ updates }) => updates.length === 2)).toBe(true), waitOptions)
  await new Promise((resolve) => setTimeout(resolve, 500)) // the change stream opens, which causes one more read of all
  reads.length = 0
  await followAll(engine, await startRun(engine, { sessionId: 's-0' }))
  await vi.waitFor(
    () => expect(follows.every((follow) => follow.list()[0]?.messageCount === 2)).toBe(true),
    waitOptions,
  )
  expect(reads.length).toBeLessThan(20)
  expect(engine.stats().followers).toBe(followers)
})

it('a follow has a place among the followers, and ends as unavailable when the server drains', async () => {
  await using database = await openDatabase()
  const options = { limits: { principal: { followers: 1 } } }
  await using engine = openEngine(database, { agents: [echoAgent()], options })
  const follow = engine.sessions.follow(ada, { list: true })
  await follow.next()
  await expect(engine.sessions.follow(ada, { list: true }).next()).rejects.toMatchObject({
    code: 'RATE_LIMITED',
    data: { kind: 'principal_followers' },
  })
  const next = follow.next()
  await Promise.all([expect(next).rejects.toMatchObject({ code: 'UNAVAILABLE' }), engine.drain({ graceMs: 0 })])
  expect(engine.stats().followers).toBe(0)
})

const step = fc.record({
  engine: fc.nat({ max: 1 }),
  session: fc.nat({ max: 3 }),
  action: fc.constantFrom('turn', 'queue', 'rename', 'create', 'delete', 'retry', 'append'),
})

it('whatever two processes do to sessions, a follower of each ends with what is stored, and no state goes back', async () => {
  const said = pacedAgent(answerOf(['a', 'b']))
  await fc.assert(
    fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 25 }), async (steps) => {
      await using database = await openDatabase()
      await using one = openEngine(database, { agents: [said] })
      await using two = openEngine(database, { agents: [said] })
      const sessionIds = ['s-0', 's-1', 's-2', 's-3']
      const engines = [one, two]
      await using stack = new AsyncDisposableStack()
      const follows = engines.map((engine) => stack.use(openFollow(engine, { sessionIds, list: true })))
      const runs: string[] = []
      for (const { engine: at, session, action } of steps) {
        await act(engines[at]!, { sessionId: sessionIds[session]!, action, runs }).catch(() => {}) // a refusal changes nothing
      }
      for (const runId of runs) await followAll(one, runId).catch(() => {}) // one of a deleted session
      const stored = await one.sessions.list(ada, { limit: 100 })
      for (const follow of follows) {
        await vi.waitFor(() => expect(follow.list()).toEqual(stored.items), waitOptions)
        for (const session of stored.items) {
          const own = () => follow.updates.filter((u) => u.type === 'session' && u.sessionId === session.id).at(-1)
          await vi.waitFor(() => expect(own()).toMatchObject({ session }), waitOptions)
        }
      }
    }),
    { numRuns: 6, endOnFailure: true },
  )
}, 120_000)

type Action = 'turn' | 'queue' | 'rename' | 'create' | 'delete' | 'retry' | 'append'

async function act(
  engine: Engine,
  { sessionId, action, runs }: { sessionId: string; action: Action; runs: string[] },
): Promise<void> {
  const runId = crypto.randomUUID()
  switch (action) {
    case 'turn':
    case 'queue':
      await engine.runs.start(ada, {
        runId,
        sessionId,
        message: 'x',
        whenBusy: action === 'queue' ? 'queue' : 'replace',
      })
      return void runs.push(runId)
    case 'rename':
      return void (await engine.sessions.update(ada, { sessionId, title: runId }))
    case 'create':
      return void (await engine.sessions.create(ada, { sessionId, title: 'made' }))
    case 'delete':
      return void (await engine.sessions.delete(ada, { sessionId }))
    case 'append':
      return void (await engine.messages.append(ada, { sessionId, role: 'user', content: 'y' }))
    case 'retry': {
      const retried = runs.at(-1)
      if (retried === undefined) return
      await followAll(engine, retried)
      await engine.runs.retry(ada, { runId: retried, newRunId: runId })
      return void runs.push(runId)
    }
  }
}
