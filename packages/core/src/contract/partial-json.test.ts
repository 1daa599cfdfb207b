import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parsePartialJson } from './partial-json.ts'

const prefixesOf = (text: string) => Array.from({ length: text.length + 1 }, (_value, end) => text.slice(0, end))

/** Whether `later` is what `earlier` may grow to. */
function growsTo(earlier: unknown, later: unknown): boolean {
  if (typeof earlier === 'string') return typeof later === 'string' && later.startsWith(earlier)
  if (Array.isArray(earlier)) {
    return Array.isArray(later) && earlier.every((item, at) => at in later && growsTo(item, later[at]))
  }
  if (typeof earlier !== 'object' || earlier === null) return Object.is(earlier, later)
  if (typeof later !== 'object' || later === null) return false
  return Object.entries(earlier).every(([key, value]) => growsTo(value, (later as Record<string, unknown>)[key]))
}

describe('The parser of partial JSON', () => {
  it('shows values as they become certain', () => {
    const seen = prefixesOf('{"name": "Al", "keys": [1, 20, true]}').map(parsePartialJson)
    const steps = [...new Set(seen.map((value) => JSON.stringify(value)))]
    expect(steps).toEqual([
      undefined,
      '{}',
      '{"name":""}',
      '{"name":"A"}',
      '{"name":"Al"}',
      '{"name":"Al","keys":[]}',
      '{"name":"Al","keys":[1]}',
      '{"name":"Al","keys":[1,20]}',
      '{"name":"Al","keys":[1,20,true]}',
    ])
  })

  it('reads every beginning of any JSON as a value that grows to the whole', () => {
    fc.assert(
      fc.property(fc.json(), fc.constantFrom(undefined, 2), (json, indent) => {
        const text = JSON.stringify({ value: JSON.parse(json) as unknown }, undefined, indent)
        const values = prefixesOf(text).map(parsePartialJson)
        expect(values.at(-1)).toEqual(JSON.parse(text))
        expect(values.slice(1)).not.toContain(undefined)
        values.slice(2).forEach((value, at) => expect(growsTo(values[at + 1], value)).toBe(true))
      }),
      { numRuns: 300 },
    )
  })

  it.each([
    ['{"a":"\\', { a: '' }],
    ['{"a":"\\\\', { a: '\\' }],
    ['{"a":"\\\\u12', { a: '\\u12' }],
    ['{"a":"x\\u00', { a: 'x' }],
    ['{"a":"x\\ud83d', { a: 'x' }],
    ['{"a":"x\\ud83d\\ude', { a: 'x' }],
    ['{"a":"x\\ud83d\\ude00', { a: 'x😀' }],
    ['{"a\\"b":{"c":"d"', { 'a"b': { c: 'd' } }],
    ['{"a":1} and more', { a: 1 }],
    ['{"a":12', {}],
    ['{"a":tru', {}],
  ])('reads %s', (text, value) => {
    expect(parsePartialJson(text)).toEqual(value)
  })

  it.each(['', '  ', 'Hello', '{a', '{"a" 1', '{"a":oops,', ']', '{]'])('finds nothing in %j', (text) => {
    expect(parsePartialJson(text) ?? undefined).toSatisfy(
      (value: unknown) => value === undefined || JSON.stringify(value) === '{}',
    )
  })

  it('reads a text of a megabyte, and one that is nested deeply', () => {
    const long = `{"a":"${'x\\n'.repeat(350_000)}`
    expect(parsePartialJson(long)).toEqual({ a: 'x\n'.repeat(350_000) })
    expect(parsePartialJson('['.repeat(100))).toBeDefined()
    expect(parsePartialJson('['.repeat(1_000_000))).toBeUndefined()
    expect(parsePartialJson(`[${'1,'.repeat(500_000)}`)).toHaveLength(500_000)
  })
})
