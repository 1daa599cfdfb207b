import type { z } from 'zod'

const maxLength = 200

/** The place and the reason of a schema's issue, without anything that the caller sent: names of unknown fields stay out. */
export function describeIssue(issue: z.core.$ZodIssue | undefined): {
  readonly field: string
  readonly reason: string
} {
  if (issue === undefined) return { field: '', reason: 'Malformed' }
  const field = issue.path.map(String).join('.').slice(0, maxLength)
  if (issue.code === 'unrecognized_keys') return { field, reason: 'Has a field that this call does not know' }
  return { field, reason: issue.message.slice(0, maxLength) }
}
