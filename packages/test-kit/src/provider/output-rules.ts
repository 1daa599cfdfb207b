/** What the Messages API refuses of a request for structured outputs. */
import type { JudgedRequest, Rule } from './request.ts'

const page = 'Structured outputs, build-with-claude/structured-outputs'

interface Schema {
  readonly type?: unknown
  readonly [key: string]: unknown
}

/** "JSON Schema limitations": what a schema may say. */
const keywords: ReadonlySet<string> = new Set(
  (
    'type enum const anyOf allOf $ref $defs definitions default title description ' +
    'properties required additionalProperties items minItems format'
  ).split(' '),
)
const formats: ReadonlySet<unknown> = new Set(
  'date-time time date duration email hostname uri ipv4 ipv6 uuid'.split(' '),
)

function isSchema(value: unknown): value is Schema {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

/** The schema and all that are in it. */
function schemasIn(schema: Schema): Schema[] {
  const { items, properties = {}, $defs = {}, anyOf = [], allOf = [] } = schema
  const inner = [items, ...Object.values(properties as object), ...Object.values($defs as object), anyOf, allOf].flat()
  return [schema, ...inner.filter(isSchema).flatMap(schemasIn)]
}

function wrongIn(schema: Schema): string | undefined {
  const { type, additionalProperties, minItems = 0, format, $ref } = schema
  const unknown = Object.keys(schema).find((key) => !keywords.has(key))
  if (unknown !== undefined) return `For '${String(type)}' type, property '${unknown}' is not supported`
  if (type === 'object' && additionalProperties !== false) {
    return "For 'object' type, 'additionalProperties' must be explicitly set to false"
  }
  if (minItems !== 0 && minItems !== 1) return "For 'array' type, 'minItems' values other than 0 or 1 are not supported"
  if (format !== undefined && !formats.has(format)) return `For 'string' type, this format is not supported`
  return typeof $ref === 'string' && $ref === '#' ? 'Recursive schemas are not supported' : undefined
}

function formatOf({ body }: JudgedRequest): unknown {
  return (body['output_config'] as { format?: unknown } | undefined)?.format ?? undefined
}

export const outputRules: readonly Rule[] = [
  {
    source: `${page}: output_format has moved to output_config.format`,
    complaint: ({ body, betas }) =>
      'output_format' in body && !betas.includes('structured-outputs-2025-11-13')
        ? 'output_format: Extra inputs are not permitted'
        : undefined,
  },
  {
    source: `${page}: JSON outputs; JSON Schema limitations`,
    complaint: (request) => {
      const format = formatOf(request)
      if (format === undefined) return undefined
      if (!isSchema(format) || format.type !== 'json_schema' || !isSchema(format['schema'])) {
        return 'output_config.format: must be of type json_schema, with a schema'
      }
      if (Object.keys(format).some((key) => key !== 'type' && key !== 'schema')) {
        return 'output_config.format: Extra inputs are not permitted'
      }
      const wrong = schemasIn(format['schema'])
        .map(wrongIn)
        .find((complaint) => complaint !== undefined)
      return wrong === undefined ? undefined : `output_config.format.schema: ${wrong}`
    },
  },
  {
    source: `${page}: feature compatibility, models`,
    complaint: (request) => {
      const { body } = request
      if (formatOf(request) === undefined) return undefined
      if (/claude-(?:3|(?:sonnet|opus)-4-(?:0|2025))/.test(body.model)) {
        return 'output_config.format: This model does not support output format.'
      }
      const cites = /"citations":\{"enabled":true\}/.test(JSON.stringify(body.messages))
      return cites ? 'citations: not supported with output_config.format' : undefined
    },
  },
]
