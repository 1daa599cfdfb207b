import { z } from 'zod'
import { VerbatimError } from '../contract/errors.ts'
import { BudgetOptions, LimitOptions, OverloadOptions } from './limit-options.ts'

const ms = z.int().positive()
const bytes = z.int().positive()
const dayMs = 24 * 60 * 60 * 1_000

/** What Claude takes, and plain text. */
const usualMediaTypes = ['image/jpeg', 'image/png', 'image/gif', 'image/webp', 'application/pdf', 'text/plain']

const AttachmentOptions = z.strictObject({
  /** Bytes of one file. @default 32 MiB, what a request to Claude may have */
  maxBytes: bytes.max(256 * 1024 * 1024).default(32 * 1024 * 1024),
  /** Types of files, as their bytes tell; all text is `text/plain`. @default images and PDF as Claude takes them, and text */
  mediaTypes: z.array(z.string().min(1)).min(1).default(usualMediaTypes),
  /** How long a file is kept that no message names. @default a day: a person who attaches a file sends it soon */
  unusedMs: ms.default(dayMs),
})

/** The engine's settings; each default says why. */
export const EngineOptions = z
  .strictObject({
    /** From a model call's start to its first content. @default 60_000, longer than providers queue a call */
    firstTokenMs: ms.default(60_000),
    /** Between two events of a model call. @default 120_000: a model that thinks unseen, or writes a tool's input, is silent for long */
    idleMs: ms.default(120_000),
    /** For a whole run. @default 600_000, the provider SDK's own limit */
    totalMs: ms.default(600_000),
    /** How many of the newest messages an agent receives. @default 40, so that a turn costs the same however long the session is */
    maxHistoryMessages: z.int().min(1).max(1_000).default(40),
    /** Bytes of the newest messages that an agent receives; the prompt comes whole. @default 4 MiB, more than a window of a million tokens */
    maxHistoryBytes: bytes.default(4 * 1024 * 1024),
    /** Bytes that one answer may have. @default 8 MiB, half of what a document can hold */
    maxAnswerBytes: bytes.max(12 * 1024 * 1024).default(8 * 1024 * 1024),
    /** Data events that one run may emit. @default 5_000: a few a second, for as long as a run may take */
    maxDataEvents: z.int().min(1).max(100_000).default(5_000),
    /** Bytes of JSON that they may have together. @default 1 MiB: it lies in the answer's document, beside `maxAnswerBytes` */
    maxDataBytes: bytes.max(2 * 1024 * 1024).default(1024 * 1024),
    /** Bytes of one run that may wait for their commit before the engine stops pulling its agent. @default 256 KiB */
    maxPendingBytes: bytes.default(256 * 1024),
    /** Bytes of the newest batches kept in memory per run for its followers. @default 256 KiB */
    maxRingBytes: bytes.default(256 * 1024),
    /** Between two looks for what other processes write, when no hint comes, at most. @default 1_000 */
    pollMs: ms.default(1_000),
    /** The same where there are no hints, while something moves; the pause grows by a quarter each time nothing does. @default 50: a reader sees words, not steps */
    livePollMs: ms.default(50),
    /** How long a follow waits for a run that does not exist yet. @default 5_000 */
    startWaitMs: ms.default(5_000),
    /** How long `cancel` waits for the run's end, and a deletion for that and the removal. @default 5_000 */
    cancelWaitMs: ms.default(5_000),
    /** Between two polls for cancel requests that another process received. @default 1_000: a person waits for it */
    cancelPollMs: ms.default(1_000),
    /** How long a lease holds without a heartbeat. @default 30_000, more than a failover takes (11 to 17 s measured) */
    leaseMs: ms.default(30_000),
    /** Between two heartbeats. @default 5_000 */
    heartbeatMs: ms.default(5_000),
    /** Without a confirmed heartbeat for this long a process stops writing. @default 20_000 */
    selfFenceMs: ms.default(20_000),
    /** Between two polls for runs whose lease expired. @default 5_000 */
    recoveryMs: ms.default(5_000),
    /** How many runs may wait in one session; the next is `SESSION_BUSY`. @default 10, more than a person types ahead */
    maxQueuedRuns: z.int().min(1).max(100).default(10),
    /** How long after its end a run's events are archived. @default 60_000, its followers are done by then */
    archiveDelayMs: ms.default(60_000),
    /** How long archived events are kept; after that only the message is. At most as long as messages. @default 30 days */
    eventRetentionMs: ms.default(30 * dayMs),
    /**
     * How long messages are kept. Older turns of a session go, and a session in which nothing happens for so long is deleted.
     * @default no limit: what a user said is the user's to delete
     */
    messageRetentionMs: ms.optional(),
    /** How long rows of the audit are kept, the receipts of erasures too. @default 365 days, longer than backups are */
    auditRetentionMs: ms.default(365 * dayMs),
    /** Between two writes of the audit's counted rows: what a process that is killed may lose. @default 5_000 */
    auditStoreMs: ms.default(5_000),
    /** What callers may do at most. @default no limits */
    limits: LimitOptions.default({ principal: {}, tenant: {}, process: {} }),
    /** What callers may use in a day. @default no budgets */
    budgets: BudgetOptions.default({ principal: {}, tenant: {} }),
    /** When this process takes no more work on; false: never. @default on, with defaults that a process reaches only under overload */
    overload: z.union([z.literal(false), OverloadOptions]).prefault({}),
    /** Files that callers upload. */
    attachments: AttachmentOptions.prefault({}),
    /** Between two polls for deletions to finish and expired events to remove. @default 60_000, no caller waits for them */
    sweepMs: ms.default(60_000),
  })
  .refine((options) => options.heartbeatMs < options.selfFenceMs && options.selfFenceMs < options.leaseMs, {
    error: 'heartbeatMs must be under selfFenceMs, and selfFenceMs under leaseMs',
    path: ['leaseMs'],
  })

/** {@link EngineOptions} as given: every field is optional. */
export type EngineOptionsInput = z.input<typeof EngineOptions>
export type EngineOptions = z.infer<typeof EngineOptions>

/** @throws VerbatimError `INVALID_CONFIGURATION` naming the field */
export function parseEngineOptions(input: EngineOptionsInput): EngineOptions {
  const parsed = EngineOptions.safeParse(input)
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new VerbatimError(
    'INVALID_CONFIGURATION',
    `${issue?.path.join('.') ?? 'options'}: ${issue?.message ?? 'wrong'}`,
  )
}
