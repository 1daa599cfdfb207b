import { expect, test } from 'vitest'
import { groupSessions } from './group-sessions.ts'

const now = new Date(2026, 2, 29, 15, 30) // a day on which the clocks change in Europe

function session(id: string, time: Date) {
  const at = time.toISOString()
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

test('Sessions stand under today, yesterday, the last days and then the month', () => {
  const times = [
    new Date(2026, 2, 29, 15, 31), // the server's clock is ahead
    new Date(2026, 2, 29, 0, 0),
    new Date(2026, 2, 28, 23, 59),
    new Date(2026, 2, 28, 0, 0),
    new Date(2026, 2, 22, 12, 0),
    new Date(2026, 2, 1, 12, 0),
    new Date(2026, 1, 20, 12, 0),
    new Date(2026, 1, 1, 12, 0),
    new Date(2025, 11, 31, 12, 0),
  ]
  const groups = groupSessions(
    times.map((time, at) => session(String(at), time)),
    now,
  )
  expect(groups.map(({ name, sessions }) => [name, sessions.map(({ id }) => id).join(' ')])).toEqual([
    ['Today', '0 1'],
    ['Yesterday', '2 3'],
    ['Last 7 days', '4'],
    ['Last 30 days', '5'],
    ['February 2026', '6 7'],
    ['December 2025', '8'],
  ])
})

test('No session makes no group', () => {
  expect(groupSessions([], now)).toEqual([])
})
