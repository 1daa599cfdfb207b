/** Any JSON, and any blocks of a provider, known to this version and not. */
import { OtherBlock, ProviderBlock } from '@verbatim/core'
import type { ContentBlock, ToolResultPart } from '@verbatim/core'
import fc from 'fast-check'

/** Keys that drivers, prototypes or query languages own. */
const ownedKeys = [
  '_bsontype',
  '__proto__',
  'constructor',
  'toBSON',
  'toJSON',
  'hasOwnProperty',
  '$set',
  '$where',
  '$ref',
  '$oid',
  '$numberLong',
  'a.b',
  '.',
  '',
  '\0',
  'a\0b',
  '_id',
  '1',
  '0',
  'ключ',
  '\u2028',
]

const key = fc.oneof(fc.constantFrom(...ownedKeys), fc.string({ unit: 'grapheme', maxLength: 4 }))
const { json: anyJson } = fc.letrec<{ json: unknown }>((tie) => ({
  json: fc.oneof(
    { maxDepth: 4, withCrossShrink: true },
    fc.oneof(
      fc.constantFrom<unknown>(null, true, false, 0, -1, 1e-7, 1e21, 2 ** 53, 2 ** 31, 'ObjectId', 1),
      fc.double({ noNaN: true, noDefaultInfinity: true }).map((one) => (Object.is(one, -0) ? 0 : one)),
      fc.string({ unit: 'grapheme' }),
    ),
    fc.array(tie('json'), { maxLength: 4 }),
    // By definition, not by assignment: `__proto__` is a key like any other in JSON.
    fc.array(fc.tuple(key, tie('json')), { maxLength: 4 }).map((entries) => {
      const made = {}
      for (const [name, value] of entries)
        Object.defineProperty(made, name, { value, enumerable: true, configurable: true, writable: true })
      return made
    }),
  ),
}))

export { anyJson }

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 })
const id = fc.stringMatching(/^[a-z]{1,6}_[A-Za-z0-9]{1,12}$/)
const pixel = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=='

/** Fields that no version knows, on a block that it knows. */
const others = fc
  .array(fc.tuple(key, anyJson), { maxLength: 3 })
  .map((entries) => Object.fromEntries(entries.map(([name, value]) => [`x_${name}`, value])))

const known = fc.oneof(
  fc.record({ type: fc.constantFrom('server_tool_use'), id, name: text, input: anyJson }),
  fc.record({ type: fc.constant('mcp_tool_use'), id, name: text, server_name: text, input: anyJson }),
  fc.record({
    type: fc.constantFrom(
      'web_search_tool_result',
      'web_fetch_tool_result',
      'code_execution_tool_result',
      'bash_code_execution_tool_result',
      'text_editor_code_execution_tool_result',
      'tool_search_tool_result',
    ),
    tool_use_id: id,
    content: anyJson,
  }),
  fc.record({ type: fc.constant('mcp_tool_result'), tool_use_id: id, is_error: fc.boolean(), content: anyJson }),
  fc.record({ type: fc.constant('container_upload'), file_id: id }),
)

/** A block of a type that no version knows, with fields of any JSON. */
export const anyOtherBlock = fc
  .tuple(fc.stringMatching(/^future_[a-z_]{0,20}$/), fc.array(fc.tuple(key, anyJson), { maxLength: 5 }))
  .map(([type, entries]) => {
    const block = { type }
    for (const [name, value] of entries)
      if (name !== 'type')
        Object.defineProperty(block, name, { value, enumerable: true, configurable: true, writable: true })
    return OtherBlock.parse(block)
  })

/** A block of a provider's. */
const anyProviderBlock = fc.oneof(
  fc.tuple(known, others).map(([block, more]) => ProviderBlock.parse({ ...more, ...block })),
  anyOtherBlock,
)

const media: fc.Arbitrary<ToolResultPart> = fc.oneof(
  fc.record({
    type: fc.constant('image' as const),
    source: fc.constant({ type: 'base64' as const, media_type: 'image/png' as const, data: pixel }),
    alt: text,
  }),
  fc.record({
    type: fc.constant('document' as const),
    source: fc.record({
      type: fc.constant('text' as const),
      media_type: fc.constant('text/plain' as const),
      data: text,
    }),
    title: text,
  }),
)

/** What a tool answers in blocks. */
export const anyToolResult: fc.Arbitrary<ToolResultPart[]> = fc.array(
  fc.oneof(
    text.map((said) => ({ type: 'text' as const, text: said })),
    media,
    anyOtherBlock,
  ),
  { minLength: 1, maxLength: 4 },
)

/** A block of an answer that is whole at once. */
export const anyWholeBlock: fc.Arbitrary<ContentBlock> = fc.oneof({ weight: 3, arbitrary: anyProviderBlock }, media)
