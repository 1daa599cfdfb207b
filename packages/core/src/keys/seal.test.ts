import { randomBytes } from 'node:crypto'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { fingerprint, keyIdOf, open, seal, toHeldKey } from './seal.ts'

const key = toHeldKey({ id: 'owner.1', secret: randomBytes(32) })

describe('seal', () => {
  it('Any text opens with its key at its place, and nothing of it is in the sealed form', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 8, maxLength: 500 }), fc.string(), (text, place) => {
        const sealed = seal(key, place, text)
        expect(keyIdOf(sealed)).toBe(key.id)
        expect(sealed.includes(Buffer.from(text))).toBe(false)
        expect(open(key, place, sealed)).toEqual(Buffer.from(text))
      }),
    )
  })

  it('The same text is sealed to other bytes each time', () => {
    const text = Buffer.from('yes')
    expect(seal(key, 'place', text)).not.toEqual(seal(key, 'place', text))
  })

  it('A sealed text does not open at another place, with another key, or after a change of any byte', () => {
    const sealed = seal(key, 'message 1', Buffer.from('a secret'))
    expect(open(key, 'message 2', sealed)).toBeUndefined()
    expect(open(toHeldKey({ id: key.id, secret: randomBytes(32) }), 'message 1', sealed)).toBeUndefined()
    for (let at = 0; at < sealed.length; at++) {
      const changed = Buffer.from(sealed)
      changed[at] = (changed[at] ?? 0) ^ 1
      expect(open(key, 'message 1', changed)).toBeUndefined()
    }
  })

  it('No bytes of any kind make it throw', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
        keyIdOf(bytes)
        expect(open(key, 'place', bytes)).toBeUndefined()
      }),
    )
    for (let length = 0; length < 60; length++) {
      expect(open(key, 'place', seal(key, 'place', Buffer.from('text')).subarray(0, length % 39))).toBeUndefined()
    }
  })

  it('A fingerprint is the same for the same text and key, and another for another key', () => {
    expect(fingerprint(key, 'hi')).toBe(fingerprint(key, 'hi'))
    expect(fingerprint(key, 'hi')).not.toBe(fingerprint(toHeldKey({ id: 'x', secret: randomBytes(32) }), 'hi'))
  })
})

it.each([
  ['an id that is empty', { id: '', secret: randomBytes(32) }],
  ['an id that is too long', { id: 'x'.repeat(65), secret: randomBytes(32) }],
  ['an id that is not ASCII', { id: 'é', secret: randomBytes(32) }],
  ['a secret that is too short', { id: 'x', secret: randomBytes(16) }],
])('A key with %s is refused', (_what, bad) => {
  expect(() => toHeldKey(bad)).toThrow('content key')
})
