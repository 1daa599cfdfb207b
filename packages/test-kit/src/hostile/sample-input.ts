/** A valid input of a JSON schema, and the places where a worse value may stand. */

/** What is read of a JSON schema. */
export interface JsonSchema {
  readonly type?: string
  readonly const?: unknown
  readonly enum?: readonly unknown[]
  readonly format?: string
  readonly pattern?: string
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly oneOf?: readonly JsonSchema[]
}

/** Stands for the text that takes its place. */
export const hole = '@@hole@@'

export interface Place {
  /** The way to the field, for names: `content[text].citations`. */
  readonly name: string
  /** The sample with {@link hole} in one place. */
  readonly input: unknown
}

/** Texts that formats and patterns of ids ask for. */
const ids = ['6f1c1a52-6c0f-4b8e-9f0e-0d5a4d7f3b11', 'session-1']

/** Only what the schema requires, so that no optional field makes the call fail. */
export function sampleOf(schema: JsonSchema): unknown {
  const { type, properties = {}, required = [], items, pattern } = schema
  const variant = variantsOf(schema)[0]
  if (variant !== undefined) return sampleOf(variant)
  if ('const' in schema) return schema.const
  if (schema.enum !== undefined) return schema.enum[0]
  switch (type) {
    case 'object':
      return Object.fromEntries(required.map((name) => [name, sampleOf(properties[name] ?? {})]))
    case 'array':
      return items === undefined ? [] : [sampleOf(items)]
    case 'string':
      if (schema.format === 'uuid') return ids[0]
      return ids.find((id) => pattern === undefined || new RegExp(pattern).test(id)) ?? 'text'
    case 'integer':
    case 'number':
      return 1
    case 'boolean':
      return true
    default:
      return null
  }
}

/** Every field of the schema, each variant of a union and one item of each array included. */
export function placesOf(schema: JsonSchema, name = ''): Place[] {
  const variants = variantsOf(schema)
  if (variants.length > 0) return variants.flatMap((variant) => placesOf(variant, name))
  const itself = { name, input: hole }
  if (schema.type === 'array' && schema.items !== undefined) {
    return [itself, ...placesOf(schema.items, `${name}[]`).map((place) => ({ ...place, input: [place.input] }))]
  }
  if (schema.type !== 'object') return [itself]
  const kind = schema.properties?.['type']?.const
  const base = { ...(sampleOf(schema) as object) }
  const fields = Object.entries(schema.properties ?? {}).flatMap(([key, inner]) =>
    placesOf(inner, `${name}${typeof kind === 'string' ? `(${kind})` : ''}.${key}`).map((place) => ({
      ...place,
      input: { ...base, [key]: place.input },
    })),
  )
  return [itself, { name: `${name}.unknown`, input: { ...base, unknown: hole } }, ...fields]
}

function variantsOf({ anyOf, oneOf }: JsonSchema): readonly JsonSchema[] {
  return anyOf ?? oneOf ?? []
}
