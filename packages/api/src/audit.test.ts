/** The audit of access: what is refused becomes a row, and only operators read it. */
import { AuditEntry } from '@verbatim/core'
import { json, query } from '@verbatim/test-kit/http'
import { describe, expect, it } from 'vitest'
import { readOutcome } from './testing/read-outcome.ts'
import { openTestApi } from './testing/serve-test-api.ts'
import type { TestApi } from './testing/serve-test-api.ts'

type Counted = Omit<AuditEntry, 'id' | 'at'>

/** What `user` reads, once `calls` are counted: refused calls are stored after some seconds, and each minute has rows of its own. */
async function rowsOf(app: TestApi, user: string, calls: number): Promise<Counted[]> {
  const read = async () => withoutMinutes(await readRows(app, user))
  const isCounted = (rows: Counted[]) => rows.reduce((sum, { count }) => sum + count, 0) === calls
  await expect.poll(async () => isCounted(await read()), { timeout: 15_000, interval: 100 }).toBe(true)
  return await read()
}

function withoutMinutes(rows: readonly AuditEntry[]): Counted[] {
  const merged = new Map<string, Counted>()
  for (const { id: _id, at: _at, count, ...row } of rows) {
    const key = JSON.stringify(row)
    merged.set(key, { ...row, count: count + (merged.get(key)?.count ?? 0) })
  }
  return [...merged.values()]
}

async function readRows(app: TestApi, user: string): Promise<AuditEntry[]> {
  const response = await app.fetch(query('audit.list', {}), { user })
  const { result } = (await response.json()) as { result: { data: { items: unknown[] } } } // checked below
  return result.data.items.map((item) => AuditEntry.parse(item))
}

describe('audit.list', () => {
  it('a failed sign-in is a row for operators of all tenants, without the address of the caller', async () => {
    await using app = await openTestApi()
    for (const path of [query('sessions.list', {}), '/metrics', query('runs.follow', { runId: crypto.randomUUID() })]) {
      await (await app.fetch(path, { user: null })).text()
    }
    expect(await rowsOf(app, 'root', 3)).toMatchObject([
      { action: 'sign_in_failed', count: 3, tenantId: null, actor: null, address: null },
    ])
    expect(await readRows(app, 'operator')).toEqual([])
  })

  it('an application that sets auditAddresses finds the address of the caller in the row', async () => {
    await using app = await openTestApi({ auditAddresses: true })
    await (await app.fetch(query('sessions.list', {}), { user: null })).text()
    const [row] = await rowsOf(app, 'root', 1)
    expect(row?.address).toMatch(/127\.0\.0\.1|::1/)
  })

  it('a call without its scope is a row for the operators of the caller only, and audit.list is such a call', async () => {
    await using app = await openTestApi()
    for (const user of ['alice', 'other/bob', 'other/bob']) {
      const outcome = await readOutcome(await app.fetch(query('audit.list', {}), { user }))
      expect(outcome).toMatchObject({ status: 403, code: 'FORBIDDEN' })
    }
    expect(await readOutcome(await app.fetch('/metrics', { user: 'alice' }))).toMatchObject({ status: 403 })
    expect(await rowsOf(app, 'root', 4)).toHaveLength(2)
    const actor = { tenantId: 'default', userId: 'alice' }
    expect(await rowsOf(app, 'operator', 2)).toMatchObject([{ action: 'scope_missing', count: 2, actor }])
    const other = { tenantId: 'other', userId: 'bob' }
    expect(await rowsOf(app, 'other/operator', 2)).toMatchObject([{ action: 'scope_missing', count: 2, actor: other }])
  })

  it('a deletion is a row, and a caller without credentials or with a malformed page reads none', async () => {
    await using app = await openTestApi()
    const sessionId = 'alices-own'
    await app.fetch('/trpc/sessions.create', json({ sessionId }))
    await app.fetch('/trpc/sessions.delete', json({ sessionId }))
    expect(await rowsOf(app, 'operator', 1)).toMatchObject([{ action: 'session_deleted', subject: 'alice' }])
    const read = async (input: unknown, user: string | null) =>
      await readOutcome(await app.fetch(query('audit.list', input), { user }))
    expect(await read({}, null)).toMatchObject({ code: 'UNAUTHENTICATED' })
    expect(await read({ cursor: 'x' }, 'operator')).toMatchObject({ code: 'INVALID_CURSOR' })
    expect(await read({ tenantId: 'other' }, 'operator')).toMatchObject({ code: 'INVALID_INPUT' })
  })
})
