/**
 * What the model is asked for where an agent has an output schema. In: a zod schema. Out: `output_config.format` of the Messages API.
 * The SDK's own conversion keeps to what the API takes ("Structured outputs", JSON Schema limitations): what it cannot ask of the model,
 * such as a minimum, it says in words. The engine checks it in any case.
 */
import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema'
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
  const format = jsonSchemaOutputFormat({ ...json, type: json.type } as { type: 'object' }) // typed for literal schemas only
  return { type: format.type, schema: format.schema }
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
