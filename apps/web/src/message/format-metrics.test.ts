import { expect, test } from 'vitest'
import { formatCount, formatDuration } from './format-metrics.ts'

test.each([
  [0, '0 ms'],
  [84.6, '85 ms'],
  [999.4, '999 ms'],
  [999.6, '1.0 s'],
  [3_240, '3.2 s'],
  [9_949, '9.9 s'],
  [9_960, '10 s'],
  [59_600, '1 min 0 s'],
  [125_000, '2 min 5 s'],
])('The page shows %d ms as %s', (ms, text) => {
  expect(formatDuration(ms)).toBe(text)
})

test('The page groups the digits of a count', () => {
  expect(formatCount(1_234_567)).toBe('1,234,567')
})
