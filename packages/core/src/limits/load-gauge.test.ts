import { expect, it } from 'vitest'
import { isVerbatimError } from '../contract/errors.ts'
import { ownerOf } from '../contract/principal.ts'
import { OverloadOptions } from '../ports/limit-options.ts'
import { LoadGauge } from './load-gauge.ts'
import type { StartPlace } from './load-gauge.ts'

function openGauge({ activeRuns = 0, ...options }: { activeRuns?: number; maxStarting?: number } = {}) {
  const time = { ms: 0 }
  const clock = { now: () => new Date(time.ms), monotonicMs: () => time.ms }
  const gauge = new LoadGauge({ options: OverloadOptions.parse(options), clock, activeRuns: () => activeRuns })
  return { gauge, time }
}

const ownerAt = (at: number | string) => ownerOf({ userId: `user-${at}`, tenantId: 'default', scopes: [] })

/** Takes places until there are none: of an owner each, or of those that are named. */
function fill(gauge: LoadGauge, ownerOfStart: (nth: number) => ReturnType<typeof ownerAt> = ownerAt): StartPlace[] {
  const places: StartPlace[] = []
  for (;;) {
    const place = tryEnter(gauge, ownerOfStart(places.length))
    if (place === 'starts') return places
    places.push(place)
  }
}

/** A place, or the kind of the refusal. */
function tryEnter(gauge: LoadGauge, owner: ReturnType<typeof ownerAt>): StartPlace | 'starts' {
  try {
    return gauge.enter(owner)
  } catch (error) {
    if (isVerbatimError(error) && error.data.kind === 'starts') return 'starts'
    throw error
  }
}

/** Fills all places, and stores the starts after `tookMs`. Answers how many there were. */
function round({ gauge, time }: ReturnType<typeof openGauge>, tookMs: number, of = ownerAt): number {
  const places = fill(gauge, of)
  time.ms += tookMs
  for (const place of places) {
    place.stored()
    place.leave()
  }
  return places.length
}

it('a process takes more starts at once while it stores them in time, and never more than the option says', () => {
  const open = openGauge({ maxStarting: 300 })
  const taken = Array.from({ length: 12 }, () => round(open, 100))
  expect(taken[0]).toBe(64)
  expect(taken.slice(1).every((count, at) => count >= (taken[at] ?? 0))).toBe(true)
  expect(taken.at(-1)).toBe(300)
})

it('a process takes fewer starts at once while they come late, but some always', () => {
  const open = openGauge()
  expect(Array.from({ length: 4 }, () => round(open, 600))).toEqual([64, 16, 16, 16])
  expect(round(open, 100)).toBe(16)
  expect(round(open, 100)).toBeGreaterThan(16)
})

it('a flood of one owner, whose starts wait for each other, leaves the places of the others as they were', () => {
  const open = openGauge()
  const flood = fill(open.gauge, () => ownerAt('flood'))
  expect(flood).toHaveLength(384)
  open.time.ms += 2_500
  for (const place of flood) place.stored()
  expect(round(open, 100)).toBe(62)
})

it('a start that is not stored leaves its place and says nothing about the process', () => {
  const { gauge, time } = openGauge()
  for (let nth = 0; nth < 10; nth++) {
    const places = fill(gauge)
    time.ms += 4_000
    for (const place of places) place.leave()
  }
  expect(fill(gauge)).toHaveLength(64)
})

it('while every commit is late no start is taken, and after that only a few at once', () => {
  const { gauge, time } = openGauge({ activeRuns: 200 })
  const commit = (tookMs: number, runs = 200) => {
    time.ms += tookMs
    gauge.committed({ tookMs, runs })
  }
  commit(3, 1)
  for (let nth = 0; nth < 20; nth++) commit(20)
  gauge.enter(ownerAt(1)).leave()
  for (let nth = 0; nth < 20; nth++) commit(60)
  expect(() => gauge.enter(ownerAt(1))).toThrow(expect.objectContaining({ code: 'OVERLOADED' }))
  commit(10)
  expect(fill(gauge)).toHaveLength(16)
})

it('callers that are refused come again one after another, in the time in which the process takes them', () => {
  const { gauge, time } = openGauge()
  const places = fill(gauge)
  const retryMs = () => {
    try {
      return gauge.enter(ownerAt(crypto.randomUUID())).leave()
    } catch (error) {
      return isVerbatimError(error) ? error.data.retryAfterMs : undefined
    }
  }
  time.ms += 60_000
  const told = Array.from({ length: 2_000 }, retryMs)
  expect(told[0]).toBe(1_000)
  expect(told[640]).toBe(6_000) // 64 places in each half of a second
  expect(told.at(-1)).toBe(10_000)
  time.ms += 60_000
  expect(retryMs()).toBe(1_000)
  expect(places).toHaveLength(64)
})

it('a process with few runs takes starts however late its commits are', () => {
  const { gauge, time } = openGauge({ activeRuns: 31 })
  for (let nth = 0; nth < 20; nth++) {
    time.ms += 500
    gauge.committed({ tookMs: 500, runs: 31 })
  }
  expect(fill(gauge)).toHaveLength(64)
})
