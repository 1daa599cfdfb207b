/**
 * What the model is asked for where an agent has an output schema. In: a zod schema. Out: `output_config.format` of the Messages API.
 * The conversion keeps to what the API takes ("Structured outputs", JSON Schema limitations): what it cannot ask of the model, such as
 * a minimum, it says in words. The engine checks it in any case. It answers what the SDK's own `jsonSchemaOutputFormat` does, which a
 * test compares: an agent's options are checked before the SDK is loaded.
 */
import type { JSONOutputFormat } from '@anthropic-ai/sdk/resources/messages'
import { z } from 'zod'

/** What JSON has no word for. */
const noJson: ReadonlySet<string> = new Set([
  'bigint',
  'date',
  'file',
  'function',
  'map',
  'nan',
  'set',
  'symbol',
  'undefined',
  'void',
])

/** A schema becomes a format once, and every request has it. */
const formats = new WeakMap<z.ZodType, JSONOutputFormat>()

/** @throws Error saying what of the schema the model cannot be asked for, or what of its values cannot be stored */
export function toOutputFormat(schema: z.ZodType): JSONOutputFormat {
  const format = formats.get(schema) ?? convert(schema)
  formats.set(schema, format)
  return format
}

function convert(schema: z.ZodType): JSONOutputFormat {
  // The model writes what the schema takes; what the schema answers is stored.
  const { $schema: _draft, ...json } = z.toJSONSchema(schema, { io: 'input', cycles: 'throw', override: refuseRecord })
  z.toJSONSchema(schema, { io: 'output', unrepresentable: 'any', override: refuseNoJson })
  if (json.type !== 'object') throw new Error('must be a z.object; put a list or a union into a field of it')
  return { type: 'json_schema', schema: toModelSchema(json) }
}

type Override = NonNullable<NonNullable<Parameters<typeof z.toJSONSchema>[1]>['override']>

const refuseRecord: Override = ({ zodSchema, path }) => {
  if (zodSchema._zod.def.type === 'record')
    throw new Error(`has a record${at(path)}: name its fields, or use a list of pairs`)
}

const refuseNoJson: Override = ({ zodSchema, path }) => {
  const { type } = zodSchema._zod.def
  if (noJson.has(type)) throw new Error(`answers a ${type}${at(path)}, which is no JSON`)
}

function at(path: readonly (string | number)[]): string {
  const names = path.filter((name) => name !== 'properties' && name !== 'items')
  return names.length === 0 ? '' : ` at ${names.join('.')}`
}

type JsonSchema = Readonly<Record<string, unknown>>
type Fields = Record<string, unknown>

/** Formats of text that the API takes. */
const textFormats: ReadonlySet<unknown> = new Set([
  'date-time',
  'time',
  'date',
  'duration',
  'email',
  'hostname',
  'uri',
  'ipv4',
  'ipv6',
  'uuid',
])

/** The part of `schema` that the API takes; the rest is said in its description. */
function toModelSchema(schema: JsonSchema): Fields {
  const left: Fields = { ...schema }
  const taken: Fields = {}
  function take(key: string): unknown {
    const value = left[key]
    Reflect.deleteProperty(left, key)
    return value
  }
  function move(key: string, toTaken: (value: unknown) => unknown = (value) => value): void {
    const value = take(key)
    if (value !== undefined) taken[key] = toTaken(value)
  }
  /** What the API does not take is said last. */
  function moveOr(key: string, isTaken: boolean): void {
    if (isTaken) return move(key)
    const value = take(key)
    if (value !== undefined) left[key] = value
  }
  move('$defs', toModelSchemas)
  if (left['$ref'] !== undefined) return { ...taken, $ref: left['$ref'] }
  if (isListOfPrimitives(left['enum'])) move('enum')
  if (isPrimitive(left['const'])) move('const')
  const type = 'enum' in taken || 'const' in taken ? void take('type') : take('type')
  const [anyOf, oneOf, allOf] = ['anyOf', 'oneOf', 'allOf'].map(take)
  take('$schema')
  const either = anyOf ?? oneOf
  if (Array.isArray(either)) taken['anyOf'] = either.map(toModelSchema)
  else if (Array.isArray(allOf)) taken['allOf'] = allOf.map(toModelSchema)
  else if (!('enum' in taken || 'const' in taken)) taken['type'] = typeOf(type)
  move('description')
  move('title')
  if (type === 'object') {
    taken['properties'] = toModelSchemas(take('properties') ?? {})
    take('additionalProperties')
    taken['additionalProperties'] = false
    move('required')
  }
  if (type === 'string') moveOr('format', textFormats.has(left['format']))
  if (type === 'array') {
    move('items', (items) => toModelSchema(items as JsonSchema))
    moveOr('minItems', left['minItems'] === 0 || left['minItems'] === 1)
  }
  return withWords(taken, left)
}

function withWords(taken: Fields, left: Fields): Fields {
  const words = Object.entries(left).map(([key, value]) => `${key}: ${JSON.stringify(value)}`)
  if (words.length === 0) return taken
  const { description } = taken
  const before = typeof description === 'string' && description !== '' ? `${description}\n\n` : ''
  return { ...taken, description: `${before}{${words.join(', ')}}` }
}

function toModelSchemas(schemas: unknown): Fields {
  const entries = Object.entries(schemas as Readonly<Record<string, JsonSchema>>) // as JSON Schema has it
  return Object.fromEntries(entries.map(([name, schema]) => [name, toModelSchema(schema)]))
}

function typeOf(type: unknown): unknown {
  if (type === undefined) throw new Error('has a value of any type; give it one')
  return type
}

function isListOfPrimitives(value: unknown): boolean {
  return Array.isArray(value) && value.length > 0 && value.every((item) => item === null || typeof item !== 'object')
}

function isPrimitive(value: unknown): boolean {
  return value !== undefined && (value === null || typeof value !== 'object')
}
