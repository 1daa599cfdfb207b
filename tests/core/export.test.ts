/** The export of a principal: everything once, as the API answers it, and a cut that shows as a cut. */
import { ExportLine, ownerOf } from '@verbatim/core'
import type { Message, Owner, Run, RunEvent } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import fc from 'fast-check'
import { describe, expect, it, vi } from 'vitest'
import { answerOf, manualAgent, pacedAgent } from '../support/agents.ts'
import { dbOf } from '../support/deleted.ts'
import { openOne } from '../support/engine.ts'
import { ada, eve, followAll, startRun, waitOptions } from '../support/follow.ts'
import { expectIdle } from '../support/leaks.ts'
import { exportOf, linesOf } from '../support/principals.ts'

const adaElsewhere = ownerOf({ userId: 'ada', tenantId: 'another', scopes: [] })
const still = { sweepMs: 600_000, archiveDelayMs: 600_000 }
const agents = [pacedAgent(answerOf(['Well', ' then \u{1f333}']))]

interface Whole {
  readonly sessions: unknown[]
  readonly messages: Message[]
  readonly runs: Run[]
  readonly events: Record<string, RunEvent[]>
}

/** What the other calls answer about the owner. */
async function wholeOf(engine: Engine, owner: Owner): Promise<Whole> {
  const whole: Whole = { sessions: [], messages: [], runs: [], events: {} }
  let sessionCursor: string | null = null
  do {
    const page = await engine.sessions.list(owner, { limit: 3, cursor: sessionCursor })
    sessionCursor = page.nextCursor
    for (const session of page.items) {
      whole.sessions.push(session)
      whole.messages.push(
        ...(await allOf((cursor) => engine.messages.list(owner, session.id, { order: 'oldest', limit: 5, cursor }))),
      )
      whole.runs.push(...(await allOf((cursor) => engine.runs.list(owner, session.id, { limit: 5, cursor }))))
    }
  } while (sessionCursor !== null)
  for (const { id } of whole.runs) whole.events[id] = await followAll(engine, id, { owner })
  return whole
}

async function allOf<TItem>(
  list: (cursor: string | null) => Promise<{ items: TItem[]; nextCursor: string | null }>,
): Promise<TItem[]> {
  const items: TItem[] = []
  let cursor: string | null = null
  do {
    const page: { items: TItem[]; nextCursor: string | null } = await list(cursor)
    items.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  return items
}

/** The lines, as {@link wholeOf} answers them; fails where a seq is missing, doubled or out of order. */
function wholeOfLines(lines: readonly ExportLine[]): Whole {
  const events: Record<string, RunEvent[]> = {}
  for (const { run } of linesOf(lines, 'run')) events[run.id] = []
  for (const batch of linesOf(lines, 'events')) {
    const ofRun = events[batch.runId] ?? []
    expect(batch.firstSeq).toBe(ofRun.length + 1)
    ofRun.push(...batch.events)
  }
  return {
    sessions: linesOf(lines, 'session').map((line) => line.session),
    messages: linesOf(lines, 'message').map((line) => line.message),
    runs: linesOf(lines, 'run').map((line) => line.run),
    events,
  }
}

/** The same, in an order of its own, and as text: byte by byte. */
function sorted({ sessions, messages, runs, events }: Whole): string[] {
  return [sessions, messages, runs, Object.entries(events)]
    .flat()
    .map((one) => JSON.stringify(one))
    .toSorted()
}

const session = fc.constantFrom('session-1', 'session-2', 'session-3', 'a:b@c')
const action = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('prompt' as const), session, text: fc.string({ minLength: 1 }) }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ type: fc.constant('append' as const), session, value: fc.jsonValue({ maxDepth: 2 }) }),
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('rename' as const), session }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('delete' as const), session }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('archive' as const) }) },
)

describe('the export of a principal', () => {
  it('after any history the export holds every message and event once, byte for byte as the API answers it', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    let user = 0
    await fc.assert(
      fc.asyncProperty(fc.array(action, { minLength: 1, maxLength: 12 }), async (actions) => {
        const owner = ownerOf({ userId: `user-${user++}`, tenantId: 'default', scopes: [] })
        for (const step of actions) await act({ engine, database }, owner, step).catch(() => {}) // a deleted session refuses
        const lines = await exportOf(engine, owner)
        for (const line of lines) expect(ExportLine.parse(JSON.parse(JSON.stringify(line)))).toEqual(line)
        expect(sorted(wholeOfLines(lines))).toEqual(sorted(await wholeOf(engine, owner)))
        expect(countsIn(lines)).toEqual(linesOf(lines, 'trailer')[0]?.counts)
      }),
      { numRuns: 12, endOnFailure: true },
    )
  }, 120_000)

  it('the first line names the format, the last counts the rest, and an owner without data has both', async () => {
    await using test = await openOne({ agents, options: still })
    const lines = await exportOf(test.engine, eve)
    expect(lines.map((line) => line.type)).toEqual(['header', 'audit', 'trailer'])
    expect(lines[0]).toMatchObject({
      format: 'verbatim.principal-export',
      version: 1,
      userId: 'eve',
      tenantId: 'default',
    })
    expect(lines.at(-1)).toMatchObject({ counts: { audit: 1 } })
  })

  it('an export holds nothing of another user, nor of the same user of another tenant', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine } = test
    for (const owner of [ada, eve, adaElsewhere]) {
      await followAll(engine, await startRun(engine, { owner, message: `Of ${owner.tenantId} ${owner.ownerId}` }), {
        owner,
      })
    }
    await engine.sessions.get(eve, 'session-1')
    for (const owner of [ada, eve, adaElsewhere]) {
      const lines = await exportOf(engine, owner)
      expect(linesOf(lines, 'message')).toHaveLength(2)
      const others = [ada, eve, adaElsewhere].filter((other) => other !== owner)
      for (const other of others) expect(JSON.stringify(lines)).not.toContain(`Of ${other.tenantId} ${other.ownerId}`)
    }
  })

  it('the prompt of a run that waits is in the export, and so is what a run has said so far', async () => {
    const agent = manualAgent()
    await using test = await openOne({ agents: [agent], options: still })
    const { engine } = test
    await startRun(engine, { message: 'First' })
    agent.say('Half an answer')
    await vi.waitFor(() => expect(engine.stats().eventsCommitted).toBeGreaterThan(2), waitOptions)
    const waiting = {
      runId: crypto.randomUUID(),
      sessionId: 'session-1',
      message: 'Second',
      whenBusy: 'queue' as const,
    }
    await engine.runs.start(ada, waiting)
    const lines = await exportOf(engine, ada)
    expect(linesOf(lines, 'run').map(({ prompt, run }) => [run.status, prompt])).toEqual([
      ['running', null],
      ['queued', [{ type: 'text', text: 'Second' }]],
    ])
    expect(JSON.stringify(linesOf(lines, 'events'))).toContain('Half an answer')
    await engine.sessions.delete(ada, { sessionId: 'session-1' })
  })

  it('a run whose events are not kept any more says so in its place', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine, database } = test
    const runId = await startRun(engine)
    await followAll(engine, runId)
    await database.storage.eventLog.archive([database.storage.eventLog.keyOf(ada, runId)], { expiresAt: new Date() })
    for (const name of ['run_events', 'run_archives']) await dbOf(database).collection(name).deleteMany({})
    const lines = await exportOf(engine, ada)
    expect(linesOf(lines, 'events')).toEqual([])
    expect(linesOf(lines, 'events_expired')).toEqual([{ type: 'events_expired', sessionId: 'session-1', runId }])
  })

  it('what is written while an export goes on comes whole or not at all', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine } = test
    for (let at = 0; at < 20; at++) await followAll(engine, await startRun(engine, { sessionId: `s-${at}` }))
    const lines: ExportLine[] = []
    for await (const line of engine.principals.export(ada)) {
      lines.push(line)
      if (line.type !== 'session' || lines.length > 200) continue
      // In a session that is being read, in one that may have been read, and in a new one.
      for (const sessionId of [line.session.id, 's-3', `new-${lines.length}`]) {
        await startRun(engine, { sessionId, message: 'And more' }).catch(() => {}) // it may be busy
      }
    }
    await expectIdle(engine)
    const ids = linesOf(lines, 'message').map(({ message }) => message.id)
    expect(new Set(ids).size).toBe(ids.length)
    for (const { session: one } of linesOf(lines, 'session')) {
      const seqs = linesOf(lines, 'message')
        .filter(({ message }) => message.sessionId === one.id)
        .map(({ message }) => message.seq)
      expect(seqs).toEqual(Array.from({ length: one.messageCount }, (_, at) => at + 1))
    }
    wholeOfLines(lines)
    for (let at = 0; at < 20; at++)
      expect(linesOf(lines, 'session').some((line) => line.session.id === `s-${at}`)).toBe(true)
  })

  it('the audit holds who exported whose data before the first line leaves', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine } = test
    const lines = engine.principals.export(ada, { requestedBy: eve })
    await lines.next()
    await lines.return()
    const { items } = await engine.audit.list({ tenantId: 'default', limit: 10 })
    expect(items).toMatchObject([{ action: 'principal_exported', actor: { userId: 'eve' }, subject: 'ada' }])
    // What Ada's file says of it does not name Eve.
    expect(JSON.stringify((await exportOf(engine, ada)).slice(1))).not.toContain('eve')
  })

  it('a second export of a caller and a fifth of a process are refused until another one ends, also one whose reader leaves', async () => {
    await using test = await openOne({ agents, options: still })
    const { engine } = test
    const callers = ['a', 'b', 'c', 'd'].map((userId) => ownerOf({ userId, tenantId: 'default', scopes: [] }))
    const open = callers.map((requestedBy) => engine.principals.export(ada, { requestedBy }))
    const [first, ...others] = open
    const limited = { code: 'RATE_LIMITED' }
    await first?.next()
    await expect(engine.principals.export(eve, { requestedBy: callers[0] }).next()).rejects.toMatchObject(limited)
    await Promise.all(others.map((lines) => lines.next()))
    await expect(engine.principals.export(ada).next()).rejects.toMatchObject(limited)
    await open[0]?.return()
    expect(await exportOf(engine, ada)).not.toEqual([])
    for (const lines of open) await lines.return()
  })
})

async function act(
  { engine, database }: Pick<Awaited<ReturnType<typeof openOne>>, 'engine' | 'database'>,
  owner: Owner,
  step: typeof action extends fc.Arbitrary<infer T> ? T : never,
): Promise<void> {
  const { eventLog } = database.storage
  if (step.type === 'archive') {
    const { items } = await engine.sessions.list(owner, { limit: 1 })
    const runs = items[0] && (await engine.runs.list(owner, items[0].id, { limit: 100 }))
    for (const { id } of runs?.items ?? [])
      await eventLog.archive([eventLog.keyOf(owner, id)], { expiresAt: new Date('2100-01-01') })
    return
  }
  const { session: sessionId } = step
  switch (step.type) {
    case 'prompt': {
      const message = `${step.text.toWellFormed().replaceAll('\0', '')}!`
      await followAll(engine, await startRun(engine, { owner, sessionId, message }), { owner })
      return
    }
    case 'append': {
      const content = [{ type: 'tool_use' as const, id: 't', name: 't', input: { value: step.value } }]
      await engine.messages.append(owner, { sessionId, role: 'assistant', content: content as never })
      return
    }
    case 'rename':
      await engine.sessions.update(owner, { sessionId, title: 'A name' })
      return
    case 'delete':
      await engine.sessions.delete(owner, { sessionId })
  }
}

function countsIn(lines: readonly ExportLine[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const line of lines.slice(1, -1)) {
    counts[line.type] = (counts[line.type] ?? 0) + (line.type === 'events' ? line.events.length : 1)
  }
  return counts
}
