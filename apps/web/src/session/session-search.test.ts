import { expect, test } from 'vitest'
import { findSessions } from './session-search.ts'

const sessions = ['Un café à Paris', 'Explain async iteration', null, 'ＡＢＣ 全角'].map((title, at) => ({
  id: String(at),
  title,
  activeRunId: null,
  messageCount: 0,
  queuedRunIds: [],
  revision: 1,
  createdAt: '',
  updatedAt: '',
}))

test.each([
  ['cafe', ['0']],
  ['PARIS un', ['0']],
  ['iteration explain', ['1']],
  ['untitled', ['2']],
  ['abc', ['3']],
  ['paris async', []],
])('A search for %j finds the sessions %j', (query, ids) => {
  expect(findSessions(sessions, query).map(({ id }) => id)).toEqual(ids)
})
