import { VerbatimError } from '@verbatim/core'
import { z } from 'zod'
import { defaultReauthenticateMs } from './sse/reauthenticator.ts'

const path = z.string().regex(/^(\/[A-Za-z0-9._~-]+)*$/, 'Begins with / and does not end with one')
const origin = z
  .string()
  .refine(
    (text) => URL.canParse(text) && new URL(text).origin === text,
    'Name exact origins, such as https://app.example.com',
  )
const ms = z.number().positive()

/** Options of `createApi`, with their defaults. Times are in milliseconds. */
export const ApiOptions = z
  .strictObject({
    /** Comes before every path. */
    basePath: path.default(''),
    /** The path of the tRPC procedures, after `basePath`. */
    trpcPath: path.min(2).default('/trpc'),
    /** The longest request body. The limit for prompts is lower. */
    maxBodyBytes: z
      .int()
      .positive()
      .default(1024 * 1024),
    /** Calls of one principal that are in work at once in this process, a batch as one; more wait. A browser has six connections. */
    maxCallsPerPrincipal: z.int().positive().default(16),
    /** Reads of one principal that are in work at once, those in batches too: each may bring a page of 1 MiB. */
    maxReadsPerPrincipal: z.int().positive().default(4),
    /** Calls of one principal that wait for their turn; one more is `RATE_LIMITED`. They hold no body yet. */
    maxWaitingCallsPerPrincipal: z.int().nonnegative().default(256),
    /**
     * Bytes of bodies and whole answers of one principal a second, a call or a follow counting 32 KiB at least; ahead of it by more than a second,
     * its next call begins later. The event loop then has time for others. Raise it for a service that calls for many users.
     */
    maxBytesPerSecond: z
      .int()
      .positive()
      .default(4 * 1024 * 1024),
    /** Calls in one tRPC batch. */
    maxBatchSize: z.int().positive().default(20),
    /** Calls in batches of one principal that run at once; the others wait in the order in which they came. */
    maxBatchConcurrency: z.int().positive().default(2),
    /** Bytes of the answers of one batch: four full pages. The calls past it fail with `RATE_LIMITED`. */
    maxBatchAnswerBytes: z
      .int()
      .positive()
      .default(4 * 1024 * 1024),
    /** Bodies over 64 KiB that the process reads and handles at once, one of each principal; more wait. */
    maxLargeBodies: z.int().positive().default(8),
    /** Files that one principal sends or receives at once; more wait. A browser has six connections. */
    maxTransfersPerPrincipal: z.int().positive().default(6),
    /** Files that the process sends or receives at once, about a megabyte of memory each; more wait. */
    maxTransfers: z.int().positive().default(128),
    /** Bytes of whole answers that wait for their readers. Past it the caller with most of them loses its oldest. */
    maxOpenAnswerBytes: z
      .int()
      .positive()
      .default(64 * 1024 * 1024),
    /** After this silence on a stream the server sends a heartbeat. */
    heartbeatMs: ms.default(10_000),
    /** How long clients wait before they reconnect, plus or minus a half, so that they do not all come at once. */
    reconnectMs: ms.default(1_000),
    /** The server cuts a reader off that takes nothing of a stream or of an answer for this long. */
    stalledReaderTimeoutMs: ms.default(60_000),
    /** A stream's longest life; its client then reconnects and is authenticated again. */
    maxStreamMs: ms.default(30 * 60_000),
    /**
     * How often `authenticate` is called again for each open stream. So a revoked token ends a stream after this time; a lower value
     * costs more calls.
     */
    reauthenticateMs: ms.default(defaultReauthenticateMs),
    /** Which callers may read /metrics: principals with the scope `verbatim:metrics`, all, or none (404). */
    metrics: z.enum(['scoped', 'public', 'off']).default('scoped'),
    /**
     * Whether the audit keeps the address of a caller whose sign-in failed. Off: an address is personal data. Behind a proxy it is the
     * proxy's.
     */
    auditAddresses: z.boolean().default(false),
    /** Web pages of other origins that may call; none when left out. */
    cors: z.strictObject({ origins: z.array(origin).min(1), credentials: z.boolean().default(false) }).optional(),
  })
  .refine(({ heartbeatMs, maxStreamMs }) => heartbeatMs < maxStreamMs, {
    path: ['heartbeatMs'],
    message: 'Must be less than maxStreamMs',
  })
export type ApiOptions = z.infer<typeof ApiOptions>
export type ApiOptionsInput = z.input<typeof ApiOptions>

/** @throws VerbatimError `INVALID_CONFIGURATION` */
export function parseApiOptions(input: ApiOptionsInput): ApiOptions {
  const parsed = ApiOptions.safeParse(input)
  if (parsed.success) return parsed.data
  throw new VerbatimError('INVALID_CONFIGURATION', z.prettifyError(parsed.error), { cause: parsed.error })
}
