import { isVerbatimError } from '../contract/errors.ts'
import type { ErrorCode } from '../contract/errors.ts'
import type { AuditRecorder, MissingId } from '../ports/audit.ts'

const missing: ReadonlySet<ErrorCode> = new Set([
  'SESSION_NOT_FOUND',
  'RUN_NOT_FOUND',
  'MESSAGE_NOT_FOUND',
  'ATTACHMENT_NOT_FOUND',
])

/** What `call` answers. When it does not find what it names, the audit takes that down; the caller's answer does not wait for it. */
export async function auditMissing<TResult>(
  audit: AuditRecorder,
  named: MissingId,
  call: Promise<TResult>,
): Promise<TResult> {
  try {
    return await call
  } catch (error) {
    noteMissing(audit, named, error)
    throw error
  }
}

/** Takes `error` down when it says that what the caller named is not there. */
export function noteMissing(audit: AuditRecorder, named: MissingId, error: unknown): void {
  if (isVerbatimError(error) && missing.has(error.code)) audit.recordMissing(named)
}
