import { expect, test } from 'vitest'
import { firstStep, nextStep } from './step-length.ts'

test('A step that takes too long is followed by a shorter one, down to what a model sends in a frame', () => {
  expect(nextStep(1_000, { length: 1_000, tookMs: 16 })).toBe(750)
  expect(nextStep(1_000, { length: 1_000, tookMs: 90 })).toBe(500)
  expect(nextStep(250, { length: 250, tookMs: 90 })).toBe(200)
  // Few characters that cost as much as many are followed by few.
  expect(nextStep(4_000, { length: 100, tookMs: 30 })).toBe(2_000)
})

test('A step grows by half at most, and only after a full one that was quick', () => {
  expect(nextStep(1_000, { length: 1_000, tookMs: 0 })).toBe(1_500)
  expect(nextStep(1_000, { length: 1_000, tookMs: 10 })).toBe(1_200)
  expect(nextStep(1_000, { length: 400, tookMs: 0 })).toBe(1_000)
  expect(nextStep(4_000, { length: 4_000, tookMs: 0 })).toBe(4_000)
})

test('The first step is the shortest, because the parser is not compiled yet', () => {
  expect(nextStep(firstStep, { length: firstStep, tookMs: 60 })).toBe(firstStep)
})
