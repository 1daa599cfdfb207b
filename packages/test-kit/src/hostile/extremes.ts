/** JSON text that is valid or nearly so, and costs a careless reader most. */

/** Is in all that is sent, so an answer or a log that holds it has printed what was sent. */
export const marker = 'MARKER7f3a'

/** A value as JSON text of about `bytes`. */
export interface Extreme {
  readonly name: string
  readonly make: (bytes: number) => string
}

const times = (text: string, bytes: number, more = 0) =>
  text.repeat(Math.max(1, Math.floor(bytes / (text.length + more))))
const list = (item: string) => (bytes: number) => `[${times(`${item},`, bytes)}${item}]`
const nested = (open: string, close: string) => (bytes: number) => {
  const depth = Math.max(1, Math.floor(bytes / (open.length + close.length)))
  return `${open.repeat(depth)}"${marker}"${close.repeat(depth)}`
}

/** `count` members, each of another key. */
function members(bytes: number, member: (key: string) => string): string {
  const made: string[] = []
  for (let left = bytes, at = 0; left > 0; at++) {
    const text = member(at === 0 ? marker : at.toString(36).padStart(4, 'k'))
    made.push(text)
    left -= text.length + 1
  }
  return made.join(',')
}

export const extremes: readonly Extreme[] = [
  { name: 'null', make: () => 'null' },
  { name: 'true', make: () => 'true' },
  { name: 'a number', make: () => '-1.5' },
  { name: 'an empty array', make: () => '[]' },
  { name: 'an object with operators', make: () => `{"$ne":null,"$where":"${marker}"}` },
  { name: 'a key of a prototype', make: () => `{"__proto__":{"${marker}":1},"constructor":{"prototype":{"a":1}}}` },
  { name: 'keys of a driver', make: () => `{"_bsontype":"ObjectId","toJSON":"${marker}","toBSON":null}` },
  { name: 'a short text', make: () => `"${marker}"` },
  { name: 'a long text', make: (bytes) => `"${times(marker, bytes)}"` },
  { name: 'a text of escapes', make: (bytes) => `"${marker}${times('\\u0001', bytes)}"` },
  { name: 'a text of quotes', make: (bytes) => `"${marker}${times('\\"', bytes)}"` },
  { name: 'a text of blanks', make: (bytes) => `"${' '.repeat(bytes)}"` },
  { name: 'a text of digits', make: (bytes) => `"1${'0'.repeat(bytes)}1"` },
  { name: 'a text of invisible characters', make: (bytes) => `"${'\u200b'.repeat(bytes / 3)}"` },
  { name: 'a text of JSON', make: (bytes) => JSON.stringify(list('"a"')(bytes / 2)) },
  { name: 'a text of deep JSON', make: (bytes) => `"${times('[', bytes)}"` },
  { name: 'lone surrogates', make: (bytes) => `"${marker}${times('\\ud83d', bytes)}"` },
  { name: 'NUL characters', make: (bytes) => `"${marker}${times('\\u0000', bytes)}"` },
  { name: 'a long number', make: (bytes) => '1'.repeat(bytes) },
  { name: 'a long fraction', make: (bytes) => `0.${'0'.repeat(bytes)}1` },
  { name: 'a number out of range', make: () => '1e400' },
  { name: 'many numbers', make: list('1') },
  { name: 'many numbers out of range', make: list('1e400') },
  { name: 'many texts', make: list(`"${marker}"`) },
  { name: 'many empty arrays', make: list('[]') },
  { name: 'many empty objects', make: list('{}') },
  { name: 'many objects of other keys', make: (bytes) => `[${members(bytes, (key) => `{"${key}":1}`)}]` },
  { name: 'many keys', make: (bytes) => `{${members(bytes, (key) => `"${key}":1`)}}` },
  { name: 'keys that are numbers', make: (bytes) => `{${members(bytes, (key) => `"${Number.parseInt(key, 36)}":1`)}}` },
  { name: 'one key many times', make: (bytes) => `{${times(`"${marker}":1,`, bytes)}"${marker}":1}` },
  { name: 'a long key', make: (bytes) => `{"${times(marker, bytes)}":1}` },
  { name: 'deep arrays', make: nested('[', ']') },
  { name: 'deep objects', make: nested('{"a":', '}') },
  { name: 'an array of deep arrays', make: list(`${'['.repeat(40)}${']'.repeat(40)}`) },
]

/** What a server may well take: as large as a message's content, and with as many values as an input. */
const allowedBytes = 500 * 1024
const allowedValues = 49_000
const allowedKeys = 19_900
const within = (make: (bytes: number) => string) => (bytes: number) => make(Math.min(bytes, allowedBytes))
const spread = (bytes: number, most: number) => Math.ceil(Math.min(bytes, allowedBytes) / most)

export const allowed: readonly Extreme[] = [
  { name: 'half a megabyte of text', make: within((bytes) => `"${times(marker, bytes)}"`) },
  { name: 'half a megabyte of quotes', make: within((bytes) => `"${times('\\"', bytes)}"`) },
  { name: 'half a megabyte of two-byte characters', make: within((bytes) => `"${'ß'.repeat(bytes / 2)}"`) },
  { name: 'half a megabyte of pictures', make: within((bytes) => `"${'\u{1f600}'.repeat(bytes / 4)}"`) },
  {
    name: 'as many texts as are allowed',
    make: (bytes) => within(list(`"${'x'.repeat(Math.max(1, spread(bytes, allowedValues) - 3))}"`))(bytes),
  },
  {
    name: 'as many fractions as are allowed',
    make: (bytes) =>
      within(list(`0.${'123'.repeat(10).slice(0, Math.max(1, spread(bytes, allowedValues) - 3))}`))(bytes),
  },
  {
    name: 'as many objects of other keys as are allowed',
    make: within(
      (bytes) =>
        `[${members(bytes, (key) => `{"${key.padEnd(Math.max(1, spread(bytes, allowedKeys) - 7), '.')}":1}`)}]`,
    ),
  },
  {
    name: 'as many keys as are allowed',
    make: within(
      (bytes) => `{${members(bytes, (key) => `"${key.padEnd(Math.max(1, spread(bytes, allowedKeys) - 5), '.')}":1`)}}`,
    ),
  },
]

/** Bodies that are no JSON. */
export const broken: readonly Extreme[] = [
  { name: 'nothing', make: () => '' },
  { name: 'a text without an end', make: (bytes) => `{"${marker}":"${times('\\"', bytes)}` },
  { name: 'arrays without an end', make: (bytes) => '['.repeat(bytes) },
  { name: 'an array without an end', make: (bytes) => `[${times('1,', bytes)}` },
  { name: 'two values', make: () => `{} {"${marker}":1}` },
  { name: 'words', make: (bytes) => times(`${marker} `, bytes) },
]
