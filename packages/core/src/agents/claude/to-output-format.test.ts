import { jsonSchemaOutputFormat } from '@anthropic-ai/sdk/helpers/json-schema'
import { expect, it } from 'vitest'
import { z } from 'zod'
import { toOutputFormat } from './to-output-format.ts'

const tree = z.object({
  name: z.string(),
  get leaves() {
    return z.array(z.object({ size: z.number().min(1).max(9), kind: z.literal(['oak', 'elm']) })).min(2)
  },
})

const schemas = {
  'bounds and formats': z.object({
    count: z.int().min(1).max(10).describe('How many'),
    at: z.iso.datetime(),
    mail: z.email(),
    code: z.string().regex(/^[A-Z]+$/),
    id: z.uuid().optional(),
  }),
  'unions, literals and enums': z.object({
    either: z.union([z.string(), z.number().gt(3)]),
    shape: z.discriminatedUnion('type', [
      z.object({ type: z.literal('round'), radius: z.number() }),
      z.object({ type: z.literal('flat') }).meta({ title: 'Flat', description: 'No body' }),
    ]),
    mood: z.enum(['good', 'bad']).nullable(),
    both: z.intersection(z.object({ a: z.string() }), z.object({ b: z.string() })),
  }),
  'lists and defaults': z.object({
    some: z.array(z.string()).min(1),
    many: z.array(z.boolean()).min(3).max(5),
    pair: z.array(z.number()).length(2).describe('A pair'),
    given: z.string().default('x'),
    tree,
  }),
  'a loose object': z.looseObject({ a: z.strictObject({ b: z.null() }) }),
} satisfies Record<string, z.ZodType>

it.each(Object.entries(schemas))(
  "the model is asked for what the SDK's own conversion asks it for: %s",
  (_name, schema) => {
    const json = z.toJSONSchema(schema, { io: 'input' })
    const { type, schema: expected } = jsonSchemaOutputFormat({ ...json, type: 'object' } as { type: 'object' })
    const { $schema: _draft, ...rest } = expected as Record<string, unknown>
    expect(toOutputFormat(schema)).toEqual({ type, schema: rest })
  },
)
