/** Errors as telemetry records them: their code or class, never their message, which may hold content. */
import { SpanStatusCode } from '@opentelemetry/api'
import type { Span } from '@opentelemetry/api'
import { isVerbatimError, reasonOf } from '../contract/errors.ts'

/** What counts as the name of a class; anything else may be content. */
const classNames = /^[\w.$]{1,64}$/

/** What ended a call or a run. */
export interface CallError {
  readonly type: string
  readonly kind?: string | undefined
}

export function errorTypeOf(error: unknown): string {
  const reason = reasonOf(error)
  return classNames.test(reason) ? reason : '_OTHER'
}

/** The type of what ended a call: a call that its run stops has no fault of its own. */
export function endOf(error: unknown, signal: AbortSignal): string {
  return signal.aborted ? 'cancelled' : errorTypeOf(error)
}

export function recordError(span: Span, type: string, kind?: string): void {
  span.setAttribute('error.type', type)
  if (kind !== undefined) span.setAttribute('verbatim.error.kind', kind)
  if (type !== 'cancelled') span.setStatus({ code: SpanStatusCode.ERROR })
}

/** What a coded error says beside its code. */
export function kindOf(error: unknown): string | undefined {
  return isVerbatimError(error) ? error.data.kind : undefined
}
