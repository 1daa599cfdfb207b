import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ownerOf } from '../contract/principal.ts'
import type { ContentKey, KeyService } from '../ports/key-service.ts'
import { createKeyRing } from './key-ring.ts'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
const secondMs = 1_000
const minuteMs = 60 * secondMs

/** A key service in memory, a clock that stands still, and a count of what was asked. */
function openRing() {
  const keys = new Map<string, ContentKey>()
  const asked: string[] = []
  const state = { nowMs: 0, isAway: false, gate: Promise.resolve() }
  const ask = async (name: string) => {
    asked.push(name)
    await state.gate
    if (state.isAway) throw new Error('away')
  }
  const service: KeyService = {
    async current({ ownerId }) {
      await ask('current')
      const key = keys.get(ownerId) ?? { id: `${ownerId}.${randomBytes(4).toString('hex')}`, secret: randomBytes(32) }
      keys.set(ownerId, key)
      return key
    },
    async find(id) {
      await ask('find')
      return [...keys.values()].find((key) => key.id === id)
    },
    async destroy({ ownerId }) {
      await ask('destroy')
      keys.delete(ownerId)
    },
  }
  const clock = { now: () => new Date(0), monotonicMs: () => state.nowMs }
  return { ring: createKeyRing(service, clock), asked, state }
}

describe('a key ring', () => {
  it('A key ring asks once for a key however many callers wait, and not again for 30 s', async () => {
    const { ring, asked, state } = openRing()
    const found = await Promise.all(Array.from({ length: 50 }, async () => await ring.current(ada)))
    expect(new Set(found).size).toBe(1)
    state.nowMs = 29 * secondMs
    await ring.current(ada)
    await ring.find(found[0]?.id ?? '')
    expect(asked).toEqual(['current'])
    state.nowMs = 30 * secondMs
    await ring.current(ada)
    expect(asked).toEqual(['current', 'current'])
  })

  it('A run that goes on receives an older key at once while the service is asked', async () => {
    const { ring, asked, state } = openRing()
    const key = await ring.current(ada)
    state.nowMs = 14 * minuteMs
    state.gate = new Promise(() => {}) // the service hangs
    expect(await ring.current(ada, { mayBeOld: true })).toBe(key)
    expect(asked).toEqual(['current', 'current'])
  })

  it('No caller uses a key that the service has not confirmed for 15 minutes', async () => {
    const { ring, state } = openRing()
    const { id } = await ring.current(ada)
    state.isAway = true
    state.nowMs = 14 * minuteMs
    expect((await ring.find(id))?.id).toBe(id)
    await expect(ring.current(ada)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    state.nowMs = 15 * minuteMs
    await expect(ring.find(id)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    await expect(ring.current(ada, { mayBeOld: true })).rejects.toMatchObject({ code: 'UNAVAILABLE' })
  })

  it('A service that fails is left alone for a second, and then asked again', async () => {
    const { ring, asked, state } = openRing()
    state.isAway = true
    for (let at = 0; at < 5; at++) await expect(ring.current(ada)).rejects.toMatchObject({ code: 'UNAVAILABLE' })
    expect(asked).toHaveLength(1)
    state.isAway = false
    state.nowMs = secondMs
    expect((await ring.current(ada)).id).toMatch(/^ada\./)
  })

  it('A service that hangs is a service that is away, after 2 s', async () => {
    const { ring, state } = openRing()
    state.gate = new Promise(() => {})
    await expect(ring.current(ada)).rejects.toMatchObject({ code: 'UNAVAILABLE', data: { retryAfterMs: 1_000 } })
  })

  it('A destroyed key is forgotten at once by the process that destroys it, and the next key is another one', async () => {
    const { ring } = openRing()
    const { id } = await ring.current(ada)
    await ring.destroy(ada)
    expect(await ring.find(id)).toBeUndefined()
    expect((await ring.current(ada)).id).not.toBe(id)
  })

  it('A key ring holds a bounded number of keys', async () => {
    const { ring, asked } = openRing()
    const ownerAt = (at: number) => ownerOf({ userId: `user-${at}`, tenantId: 'default', scopes: [] })
    for (let at = 0; at <= 10_000; at++) await ring.current(ownerAt(at))
    asked.length = 0
    await ring.current(ownerAt(10_000))
    expect(asked).toEqual([])
    await ring.current(ownerAt(0))
    expect(asked).toEqual(['current'])
  })
})
