import { expect, test } from 'vitest'
import { mathStep, nextStep, textStep } from './step-length.ts'

test('A step that takes too long is followed by a shorter one, down to what a model sends in a frame', () => {
  expect(nextStep(1_000, { length: 1_000, tookMs: 16 }, textStep)).toBe(750)
  expect(nextStep(1_000, { length: 1_000, tookMs: 90 }, textStep)).toBe(500)
  expect(nextStep(250, { length: 250, tookMs: 90 }, textStep)).toBe(200)
  // Few characters that cost as much as many are followed by few.
  expect(nextStep(4_000, { length: 100, tookMs: 30 }, textStep)).toBe(2_000)
})

test('A step grows by half at most, and only after a full one that was quick', () => {
  expect(nextStep(1_000, { length: 1_000, tookMs: 0 }, textStep)).toBe(1_500)
  expect(nextStep(1_000, { length: 1_000, tookMs: 10 }, textStep)).toBe(1_200)
  expect(nextStep(1_000, { length: 400, tookMs: 0 }, textStep)).toBe(1_000)
  expect(nextStep(4_000, { length: 4_000, tookMs: 0 }, textStep)).toBe(4_000)
})

test('Formulas begin with one a frame, and grow to as many as fit', () => {
  const counts = [1]
  for (let nth = 0; nth < 12; nth += 1) {
    const count = counts.at(-1)!
    counts.push(nextStep(count, { length: count, tookMs: count * 0.5 }, mathStep))
  }
  expect(counts.slice(0, 5)).toEqual([1, 2, 3, 5, 8])
  expect(counts.at(-1)).toBe(24)
  expect(nextStep(24, { length: 24, tookMs: 100 }, mathStep)).toBe(12)
  expect(nextStep(1, { length: 1, tookMs: 100 }, mathStep)).toBe(1)
})
