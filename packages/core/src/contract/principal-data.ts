/** A user's data, whole: the lines of an export, and the receipt of an erasure. */
import { z } from 'zod'
import { AgentState } from './agent-state.ts'
import { Attachment } from './attachment.ts'
import { AuditEntry } from './audit.ts'
import { ContentBlock } from './content-block.ts'
import { RunEvent } from './event.ts'
import { RunId, SessionId } from './identifiers.ts'
import { JsonValue } from './json-value.ts'
import { Message } from './message.ts'
import { Run } from './run.ts'
import { Session } from './session.ts'

/** What an export calls itself in its first line. */
export const exportFormat = 'verbatim.principal-export'

/** How many there were of each kind. */
const Counts = z.record(z.string(), z.int().nonnegative())

/**
 * One line of an export. The header is the first, the trailer the last: a file without a trailer is cut. A session's line comes before
 * its messages and runs, a run's before its events. A reader ignores lines of types that it does not know.
 */
export const ExportLine = z.discriminatedUnion('type', [
  z.strictObject({
    type: z.literal('header'),
    format: z.literal(exportFormat),
    version: z.literal(1),
    exportId: z.uuid(),
    tenantId: z.string(),
    userId: z.string(),
    startedAt: z.iso.datetime(),
  }),
  z.strictObject({ type: z.literal('session'), session: Session }),
  z.strictObject({ type: z.literal('message'), message: Message }),
  /** What an agent keeps of the session beside its messages. */
  z.strictObject({ type: z.literal('agent_state'), agentState: AgentState }),
  /** `prompt` and `input` are those of a run that waits, which no message holds yet. */
  z.strictObject({
    type: z.literal('run'),
    run: Run,
    prompt: z.array(ContentBlock).nullable(),
    input: JsonValue.optional(),
  }),
  z.strictObject({
    type: z.literal('events'),
    sessionId: SessionId,
    runId: RunId,
    firstSeq: z.int().positive(),
    events: z.array(RunEvent).min(1),
  }),
  /** The run's events are not kept any more. */
  z.strictObject({ type: z.literal('events_expired'), sessionId: SessionId, runId: RunId }),
  /** A file of the user; its bytes are at `GET /attachments/<id>`. */
  z.strictObject({ type: z.literal('attachment'), attachment: Attachment }),
  /** A row of the audit about the user, or of what the user did. It names no other user. */
  z.strictObject({ type: z.literal('audit'), entry: AuditEntry }),
  /** What the user's model calls used on a day (UTC). A day may have several lines, which add up. */
  z.strictObject({
    type: z.literal('usage'),
    day: z.iso.date(),
    tokens: z.int().nonnegative(),
    costUsd: z.number().nonnegative(),
  }),
  /** The whole export was written. `counts` are of its lines by type; `events` are single events. */
  z.strictObject({ type: z.literal('trailer'), counts: Counts, endedAt: z.iso.datetime() }),
])
export type ExportLine = z.infer<typeof ExportLine>

/** An export's lines between the header and the trailer. */
export type ExportItem = Exclude<ExportLine, { type: 'header' | 'trailer' }>

/** The input of `principals.erase`. */
export const EraseInput = z.strictObject({
  userId: z.string().min(1).max(256),
  /** The caller's own when left out. */
  tenantId: z.string().min(1).max(256).optional(),
  /** Makes the call safe to repeat: the same id answers the same erasure. A random one when left out. */
  erasureId: z.uuid().toLowerCase().optional(),
})
export type EraseInput = z.infer<typeof EraseInput>

/**
 * An erasure, and its receipt when it is `erased`. It never holds content or the erased user's id. `erasing`: data is being removed, or a
 * run still ends. `settling`: all is removed, and the server waits until no late write can land any more.
 */
export const Erasure = z.strictObject({
  id: z.uuid(),
  status: z.enum(['erasing', 'settling', 'erased']),
  requestedAt: z.iso.datetime(),
  /** The user who asked for it; null when that was the erased one. */
  requestedBy: z.string().nullable(),
  erasedAt: z.iso.datetime().nullable(),
  /** What was removed so far. */
  counts: Counts,
})
export type Erasure = z.infer<typeof Erasure>
