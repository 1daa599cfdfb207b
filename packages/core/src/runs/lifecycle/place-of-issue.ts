import { z } from 'zod'
import { describeIssue } from '../../contract/describe-issue.ts'

/**
 * Where a value does not fit its schema, in the schema's own words: a key that the value has made up (of a record, say) is `*`. The place
 * may be stored and shown where content may not.
 */
export function placeOfIssue(schema: z.ZodType, issue: z.core.$ZodIssue | undefined): string {
  if (issue === undefined) return ''
  const names = namesIn(z.toJSONSchema(schema, { io: 'input', unrepresentable: 'any' }))
  const path = issue.path.map((name) => (typeof name === 'number' || names.has(String(name)) ? name : '*'))
  return describeIssue({ ...issue, path }).field
}

/** The names of all fields that a JSON schema has. */
function namesIn(schema: unknown, names = new Set<string>()): ReadonlySet<string> {
  if (typeof schema !== 'object' || schema === null) return names
  if ('properties' in schema && typeof schema.properties === 'object' && schema.properties !== null) {
    for (const name of Object.keys(schema.properties)) names.add(name)
  }
  for (const inner of Object.values(schema)) namesIn(inner, names)
  return names
}
