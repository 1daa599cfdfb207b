import { expect, it } from 'vitest'
import { TokenBuckets } from './token-buckets.ts'

it('a bucket gives a minute’s worth at once, and after that one token each time it is refilled', () => {
  const buckets = new TokenBuckets({ perMinute: 6 })
  for (let taken = 0; taken < 6; taken++) {
    expect(buckets.waitMs('a', 1, 0)).toBe(0)
    buckets.take('a', 1, 0)
  }
  expect(buckets.waitMs('a', 1, 0)).toBe(10_000)
  expect(buckets.waitMs('a', 1, 9_999)).toBe(1)
  expect(buckets.waitMs('a', 1, 10_000)).toBe(0)
  expect(buckets.waitMs('a', 2, 10_000)).toBe(10_000)
})

it('in any minute no more is taken than a bucket holds and what is refilled meanwhile', () => {
  const buckets = new TokenBuckets({ perMinute: 60 })
  let taken = 0
  for (let nowMs = 0; nowMs <= 60_000; nowMs += 100) {
    if (buckets.waitMs('a', 1, nowMs) > 0) continue
    buckets.take('a', 1, nowMs)
    taken++
  }
  expect(taken).toBe(120)
})

it('what is refunded can be taken again', () => {
  const buckets = new TokenBuckets({ perMinute: 1 })
  buckets.take('a', 1, 0)
  buckets.refund('a', 1)
  expect(buckets.waitMs('a', 1, 0)).toBe(0)
})

it('keys have buckets of their own', () => {
  const buckets = new TokenBuckets({ perMinute: 1 })
  buckets.take('a', 1, 0)
  expect(buckets.waitMs('b', 1, 0)).toBe(0)
})

it('more than a bucket holds is taken from a full one, and made up for by those after it', () => {
  const buckets = new TokenBuckets({ perMinute: 60 })
  expect(buckets.waitMs('a', 90, 0)).toBe(0)
  buckets.take('a', 90, 0)
  expect(buckets.waitMs('a', 1, 0)).toBe(31_000)
  expect(buckets.waitMs('a', 90, 60_000)).toBe(30_000)
})

it('full buckets are forgotten, and a flood of keys holds a bounded number', () => {
  const buckets = new TokenBuckets({ perMinute: 1, maxKeys: 100 })
  for (let key = 0; key < 10_000; key++) buckets.take(`flood ${key}`, 1, 0)
  expect(buckets.size).toBe(100)
  buckets.take('later', 1, 60_000)
  expect(buckets.size).toBe(1)
})
