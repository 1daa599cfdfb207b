/** The audit of access: bounded whatever callers send, without content, and exact in its numbers. */
import { isVerbatimError, ownerOf } from '@verbatim/core'
import type { AuditEntry, Owner } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'
import { describe, expect, it } from 'vitest'
import { answerOf, pacedAgent } from '../support/agents.ts'
import { openDatabase, openEngine, openOne } from '../support/engine.ts'
import { ada, eve, followAll, startRun } from '../support/follow.ts'

const agents = [pacedAgent(answerOf(['Well']))]
const adaElsewhere = ownerOf({ userId: 'ada', tenantId: 'another', scopes: [] })

async function allRows(engine: Engine, tenantId?: string): Promise<AuditEntry[]> {
  const rows: AuditEntry[] = []
  let cursor: string | null = null
  do {
    const page = await engine.audit.list({ tenantId, cursor, limit: 30 })
    rows.push(...page.items)
    cursor = page.nextCursor
  } while (cursor !== null)
  return rows
}

/** The rows after the engine that took them down has closed, which stores them. */
async function rowsAfter(act: (engine: Engine) => Promise<void>): Promise<AuditEntry[]> {
  await using database = await openDatabase()
  const engine = openEngine(database, { agents, options: { startWaitMs: 50 } })
  await act(engine)
  await engine.close()
  await using reader = openEngine(database, { agents })
  return await allRows(reader)
}

async function refused(call: Promise<unknown>): Promise<void> {
  await expect(call).rejects.toSatisfy(isVerbatimError)
}

describe('refused calls', () => {
  it('20,000 failed sign-ins from 5,000 addresses are some hundred rows, and each is counted', async () => {
    const rows = await rowsAfter(async (engine) => {
      for (let call = 0; call < 20_000; call++) {
        engine.audit.record({ action: 'sign_in_failed', address: `10.0.${call % 5_000}` })
      }
      await Promise.resolve()
    })
    // One minute has 100 rows and one for all others; the calls may lie in two.
    expect(rows.length).toBeLessThanOrEqual(202)
    expect(rows.reduce((sum, row) => sum + row.count, 0)).toBe(20_000)
    expect(rows.filter((row) => row.address === null).every((row) => row.action === 'sign_in_failed')).toBe(true)
  })

  it('a flood of one kind leaves room for the rows of another', async () => {
    const rows = await rowsAfter(async (engine) => {
      for (let call = 0; call < 500; call++) engine.audit.record({ action: 'sign_in_failed', address: `10.0.${call}` })
      engine.audit.record({ action: 'scope_missing', owner: eve })
      await Promise.resolve()
    })
    expect(rows.filter((row) => row.action === 'scope_missing')).toMatchObject([
      { count: 1, actor: { tenantId: 'default', userId: 'eve' }, tenantId: 'default' },
    ])
  })
})

describe('ids of others', () => {
  const calls: Record<
    string,
    (engine: Engine, owner: Owner, ids: { sessionId: string; runId: string }) => Promise<unknown>
  > = {
    'sessions.get': async (engine, owner, { sessionId }) => await engine.sessions.get(owner, sessionId),
    'sessions.update': async (engine, owner, { sessionId }) =>
      await engine.sessions.update(owner, { sessionId, title: 'x' }),
    'sessions.delete': async (engine, owner, { sessionId }) => await engine.sessions.delete(owner, { sessionId }),
    'messages.list': async (engine, owner, { sessionId }) =>
      await engine.messages.list(owner, sessionId, { order: 'newest', limit: 1 }),
    'messages.get': async (engine, owner, { sessionId, runId }) => await engine.messages.get(owner, sessionId, runId),
    'runs.list': async (engine, owner, { sessionId }) => await engine.runs.list(owner, sessionId, { limit: 1 }),
    'runs.get': async (engine, owner, { runId }) => await engine.runs.get(owner, runId),
    'runs.cancel': async (engine, owner, { runId }) => await engine.runs.cancel(owner, runId),
    'runs.continue': async (engine, owner, { runId }) =>
      await engine.runs.continue(owner, { runId, newRunId: crypto.randomUUID() }),
    'runs.retry': async (engine, owner, { runId }) =>
      await engine.runs.retry(owner, { runId, newRunId: crypto.randomUUID() }),
    'runs.follow': async (engine, owner, { runId }) => await followAll(engine, runId, { owner }),
  }

  it.each(Object.entries(calls))(
    '%s of an id that another owner has is a row, and of an unknown id is none',
    async (path, call) => {
      const runId = crypto.randomUUID()
      const rows = await rowsAfter(async (engine) => {
        await followAll(engine, await startRun(engine, { runId, sessionId: 'ada-s-own' }))
        await refused(call(engine, eve, { sessionId: 'ada-s-own', runId }))
        await refused(call(engine, eve, { sessionId: 'unknown', runId: crypto.randomUUID() }))
      })
      const actor = { tenantId: 'default', userId: 'eve' }
      const isRun = path.startsWith('runs.') && path !== 'runs.list'
      const target = isRun ? `run:${runId}` : 'session:ada-s-own'
      expect(rows).toMatchObject([
        { action: 'foreign_id', actor, subject: 'ada', target, tenantId: 'default', count: 1 },
      ])
    },
  )

  it('operators of one tenant do not learn that another tenant has the id', async () => {
    const rows = await rowsAfter(async (engine) => {
      await engine.sessions.create(adaElsewhere, { sessionId: 'far-away' })
      await refused(engine.sessions.get(eve, 'far-away'))
    })
    const actor = { tenantId: 'default', userId: 'eve' }
    expect(rows).toMatchObject([{ action: 'foreign_id', actor, subject: null, tenantId: null }])
  })

  it('a name that several owners use names nothing of theirs, and is no row', async () => {
    const rows = await rowsAfter(async (engine) => {
      for (const owner of [ada, adaElsewhere]) await engine.sessions.create(owner, { sessionId: 'session-1' })
      await refused(engine.sessions.get(eve, 'session-1'))
    })
    expect(rows).toEqual([])
  })

  it('a flood of unknown ids is not looked up one by one, and the audit says how many it left out', async () => {
    const rows = await rowsAfter(async (engine) => {
      await Promise.all(Array.from({ length: 50 }, async (_, at) => await refused(engine.sessions.get(eve, `s-${at}`))))
    })
    expect(rows).toMatchObject([{ action: 'ids_unchecked', count: 40, actor: { userId: 'eve' } }])
  })
})

describe('reading the audit', () => {
  it('pages hold each row once, newest first, and a tenant sees its own only', async () => {
    await using test = await openOne({ agents })
    for (let count = 0; count < 70; count++) {
      const owner = count % 2 === 0 ? ada : adaElsewhere
      await test.engine.sessions.create(owner, { sessionId: `s-${count}` })
      await test.engine.sessions.delete(owner, { sessionId: `s-${count}` })
    }
    const rows = await allRows(test.engine)
    expect(new Set(rows.map((row) => row.id)).size).toBe(70)
    expect(rows.map((row) => row.at)).toEqual(
      rows
        .map((row) => row.at)
        .toSorted()
        .toReversed(),
    )
    const ofOne = await allRows(test.engine, 'another')
    expect(ofOne).toHaveLength(35)
    expect(ofOne.every((row) => row.tenantId === 'another' && row.actor?.tenantId === 'another')).toBe(true)
  })

  it('the listener receives each row once, and a listener that throws stops nothing', async () => {
    await using database = await openDatabase()
    const heard: AuditEntry[] = []
    const onAudit = (entry: AuditEntry) => {
      heard.push(entry)
      throw new Error('The listener is broken')
    }
    const engine = openEngine(database, { agents, wrap: () => ({ onAudit }) })
    await engine.sessions.create(ada, { sessionId: 'session-1' })
    await engine.sessions.delete(ada, { sessionId: 'session-1' })
    for (let call = 0; call < 3; call++) engine.audit.record({ action: 'scope_missing', owner: eve })
    await engine.close()
    await using reader = openEngine(database, { agents })
    const byAction = (one: AuditEntry, other: AuditEntry) => one.action.localeCompare(other.action)
    expect(heard.toSorted(byAction)).toEqual((await allRows(reader)).toSorted(byAction))
    expect(heard.reduce((sum, row) => sum + row.count, 0)).toBe(4)
  })
})
