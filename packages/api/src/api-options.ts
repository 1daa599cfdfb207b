import { VerbatimError } from '@verbatim/core'
import { z } from 'zod'

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
    /** In front of every path. */
    basePath: path.default(''),
    /** Where the tRPC procedures are, behind `basePath`. */
    trpcPath: path.min(2).default('/trpc'),
    /** The longest request body. Prompts have their own limit, somewhat below. */
    maxBodyBytes: z
      .int()
      .positive()
      .default(1024 * 1024),
    /** Calls in one tRPC batch. */
    maxBatchSize: z.int().positive().default(20),
    /** Silence on a stream after which the server gives a sign of life. */
    heartbeatMs: ms.default(10_000),
    /** How long clients are asked to wait before they reconnect, give or take a half so that they do not all come at once. */
    reconnectMs: ms.default(1_000),
    /** A reader that takes nothing for so long is cut off. */
    stalledReaderTimeoutMs: ms.default(60_000),
    /** A stream's longest life; its client then reconnects and is authenticated again. */
    maxStreamMs: ms.default(30 * 60_000),
    /** Who may read /metrics: principals with the scope `verbatim:metrics`, everybody, or nobody (404). */
    metrics: z.enum(['scoped', 'public', 'off']).default('scoped'),
    /** Foreign web pages that may call; none when left out. */
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
