import { expect, test } from 'vitest'
import { initialList, reduceList } from './session-list-state.ts'
import type { Session } from './session-list-state.ts'

function session(id: string, minute: number): Session {
  const at = new Date(Date.UTC(2026, 0, 1, 0, minute)).toISOString()
  return {
    id,
    title: id,
    activeRunId: null,
    messageCount: 0,
    queuedRunIds: [],
    revision: 1,
    createdAt: at,
    updatedAt: at,
  }
}

test('a session that was used again moves to the top, once', () => {
  const first = { items: [session('b', 2), session('a', 1)], nextCursor: null }
  const before = reduceList(initialList, { type: 'loaded', page: first, isFirst: true })
  const again = { items: [session('a', 3), session('b', 2)], nextCursor: null }
  const after = reduceList(before, { type: 'loaded', page: again, isFirst: true })
  expect(after.sessions.map(({ id }) => id)).toEqual(['a', 'b'])
})

test('reloading the first page keeps the further pages and where the next begins', () => {
  const first = { items: [session('d', 4), session('c', 3)], nextCursor: 'after-c' }
  const second = { items: [session('b', 2)], nextCursor: 'after-b' }
  let list = reduceList(initialList, { type: 'loaded', page: first, isFirst: true })
  list = reduceList(list, { type: 'loaded', page: second, isFirst: false })
  list = reduceList(list, { type: 'loaded', page: first, isFirst: true })
  expect(list.sessions.map(({ id }) => id)).toEqual(['d', 'c', 'b'])
  expect(list.nextCursor).toBe('after-b')
})

test('a session that was deleted is gone, and stays gone when the first page is loaded again', () => {
  const first = { items: [session('b', 2), session('a', 1)], nextCursor: null }
  let list = reduceList(initialList, { type: 'loaded', page: first, isFirst: true })
  list = reduceList(list, { type: 'removed', sessionId: 'b' })
  expect(list.sessions.map(({ id }) => id)).toEqual(['a'])
  list = reduceList(list, { type: 'loaded', page: { items: [session('a', 1)], nextCursor: null }, isFirst: true })
  expect(list.sessions.map(({ id }) => id)).toEqual(['a'])
})

test('a failed load keeps what is there', () => {
  const page = { items: [session('a', 1)], nextCursor: null }
  const list = reduceList(reduceList(initialList, { type: 'loaded', page, isFirst: true }), { type: 'failed' })
  expect(list).toMatchObject({ status: 'failed', sessions: [{ id: 'a' }] })
})
