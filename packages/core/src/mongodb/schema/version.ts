/**
 * Documents carry the version `v` of their shape; one without it has version 1. A server reads what older ones have stored. What a newer
 * server has stored it leaves alone: it would lose fields that it does not know. The check is part of filters and of the mapping of
 * documents that are read anyway, so that it costs no command.
 */
import { errorOf } from '../../contract/errors.ts'
import type { VerbatimError } from '../../contract/errors.ts'

/**
 * What this server writes, and the newest that it knows. A change of a document's shape that older servers cannot read raises it; then
 * `migrate` raises the version of the database, which tells older servers, and tests/fixtures/schema gets a file.
 */
export const documentVersion = 1

/** A filter that only documents match which this server knows. */
export const known = { v: { $lte: documentVersion } } as const

/** A filter that only documents of a newer server match. */
export const newer = { v: { $gt: documentVersion } } as const

/** @throws VerbatimError `UNSUPPORTED_VERSION` for a document of a newer server */
export function requireKnown({ v = 1 }: { readonly v?: unknown }): void {
  if (typeof v !== 'number' || v > documentVersion) throw newerDocument()
}

export function newerDocument(): VerbatimError {
  return errorOf('UNSUPPORTED_VERSION')
}
