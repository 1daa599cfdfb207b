import { ownerOf } from '@verbatim/core'
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'

const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })

it('many creates of one session at once make one session', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const { sessionRepository } = database.storage
  for (const sessionId of ['a', 'b', 'c', 'd']) {
    const made = await Promise.all(
      Array.from({ length: 32 }, (_, at) =>
        sessionRepository.createSession(owner, { sessionId, title: `title ${at}` }),
      ),
    )
    expect(new Set(made.map((session) => session.title)).size).toBe(1)
  }
  const page = await sessionRepository.listSessions(owner, { limit: 100 })
  expect(page.items.map((session) => session.id).toSorted()).toEqual(['a', 'b', 'c', 'd'])
})

it('pages of sessions and messages neither skip nor repeat an item', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const { sessionRepository } = database.storage
  for (let at = 0; at < 7; at++) await sessionRepository.createSession(owner, { sessionId: `s${at}`, title: null })
  const seen: string[] = []
  let cursor: string | null = null
  do {
    const page = await sessionRepository.listSessions(owner, { cursor, limit: 2 })
    seen.push(...page.items.map((session) => session.id))
    cursor = page.nextCursor
  } while (cursor !== null)
  expect(seen.toSorted()).toEqual(['s0', 's1', 's2', 's3', 's4', 's5', 's6'])
  for (const bad of ['x', '!!.abc', 'zzzzzzzzzz.' + 'A'.repeat(32) + '$']) {
    await expect(sessionRepository.listSessions(owner, { cursor: bad, limit: 2 })).rejects.toMatchObject({
      code: 'INVALID_CURSOR',
    })
  }
})
