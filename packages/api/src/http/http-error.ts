/** Errors of the plain endpoints: the error itself as JSON, under its own status. */
import { VerbatimError } from '@verbatim/core'
import { jsonAnswer } from './exchange.ts'
import type { Answer } from './exchange.ts'

export function errorAnswer(error: VerbatimError, headers: Readonly<Record<string, string>> = {}): Answer {
  return jsonAnswer(error.httpStatus, { error: error.toWire() }, { ...retryAfter(error), ...headers })
}

export function notFound(): VerbatimError {
  return new VerbatimError('NOT_FOUND')
}

export function methodNotAllowed(): VerbatimError {
  return new VerbatimError('METHOD_NOT_ALLOWED')
}

function retryAfter({ data }: VerbatimError): Record<string, string> {
  return data.retryAfterMs === undefined ? {} : { 'retry-after': String(Math.ceil(data.retryAfterMs / 1000)) }
}
