import { z } from 'zod'

/** What an {@link AuditEntry} reports. */
export const AuditAction = z.enum([
  /** A call without valid credentials. */
  'sign_in_failed',
  /** A principal called without the scope that the call needs. */
  'scope_missing',
  /** A principal asked for a session, a run or an attachment that another owner has. */
  'foreign_id',
  /** Ids that were not found and, in a flood of them, not checked for another owner. */
  'ids_unchecked',
  'principal_exported',
  'principal_erased',
  'session_deleted',
  /** The words of a message were replaced. */
  'message_redacted',
  /** Files that no message has any more, or never had. */
  'attachments_removed',
  /** The retention of events was over. */
  'events_expired',
  /** The retention of messages was over. */
  'messages_expired',
])
export type AuditAction = z.infer<typeof AuditAction>

/** One row of the audit: who did what, when, and to whose data. It never holds content. */
export const AuditEntry = z.strictObject({
  id: z.string(),
  action: AuditAction,
  /** When; of a counted action, the first time in its minute. */
  at: z.iso.datetime(),
  /** How often within a minute from `at`. */
  count: z.int().positive(),
  /** The tenant whose operators may read the entry. Null where no tenant is known or two are concerned: for operators of all tenants. */
  tenantId: z.string().nullable(),
  /** Who did it. Null when it was the server, a caller without valid credentials, or more callers than have a row of their own. */
  actor: z.strictObject({ tenantId: z.string(), userId: z.string() }).nullable(),
  /** The user whose data it concerns. */
  subject: z.string().nullable(),
  /** The session, run or attachment, by its id or its storage key; of an erasure, the key of the erased owner. */
  target: z.string().nullable(),
  /** The caller's address, when the application lets it be stored. */
  address: z.string().nullable(),
  /** How much was exported or removed, by kind. */
  counts: z.record(z.string(), z.int().nonnegative()).nullable(),
  /** Of a redaction: why, as the program that asked for it says, without the words. */
  reasons: z.array(z.string()).optional(),
})
export type AuditEntry = z.infer<typeof AuditEntry>
