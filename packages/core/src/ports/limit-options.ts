/** What callers may do and use at most. Everything is off by default, and what is off costs nothing. */
import { z } from 'zod'

const count = z.int().positive()
const amount = z.number().positive()

const rates = {
  /** Starts and retries of runs. @default no limit */
  startsPerMinute: count.optional(),
  /** Bytes of prompts and appended messages. @default no limit */
  bytesPerMinute: count.optional(),
  /** Runs that have not ended. @default no limit */
  activeRuns: count.optional(),
  /** Follows that are open at one process. @default no limit */
  followers: count.optional(),
}

/**
 * Limits of a principal, of a tenant and of this process. The rates, the followers and everything of `process` are counted by each
 * process for itself: N processes allow N times as much. `activeRuns` and `sessions` of a principal are exact, whatever the number of
 * processes; `activeRuns` of a tenant holds across processes too, but starts that are under way at the same moment may pass it together.
 */
export const LimitOptions = z.strictObject({
  principal: z
    .strictObject({
      ...rates,
      /** Sessions that are stored. A deleted one does not count. @default no limit */
      sessions: count.optional(),
      /** Bytes of attachments that are stored. Exact, like `sessions`. @default no limit */
      attachmentBytes: count.optional(),
    })
    .default({}),
  tenant: z.strictObject(rates).default({}),
  process: z.strictObject(rates).default({}),
})
export type LimitOptions = z.infer<typeof LimitOptions>

/**
 * When a process refuses starts and retries with `OVERLOADED`, before anything is stored. What it has taken on then keeps its pace; a start
 * that is refused at once can go to another process.
 */
export const OverloadOptions = z.strictObject({
  /**
   * Starts that wait to be stored. Of how many owners they may be, the process finds by itself: of as many as it stores within half a second.
   * @default 512: each holds its prompt in memory
   */
  maxStarting: count.default(512),
  /**
   * How late tokens may come because the process is busy, in milliseconds at the 99th percentile. While even the quickest commits take a
   * quarter of it longer than alone, or the event loop is late by half of it, no start is taken. @default 100: later tokens stutter
   */
  maxDelayMs: amount.default(100),
})
export type OverloadOptions = z.infer<typeof OverloadOptions>

const TokenPrices = z.strictObject({
  input: z.number().nonnegative(),
  output: z.number().nonnegative(),
  cacheRead: z.number().nonnegative(),
  cacheWrite: z.number().nonnegative(),
})

const Budget = z.strictObject({
  /** Tokens of every kind, input and cache included. @default no limit */
  tokensPerDay: count.optional(),
  /** In US dollars, by `prices`. @default no limit */
  usdPerDay: amount.optional(),
})

/** What may be used in a day, which begins at midnight UTC. All processes share one ledger. */
export const BudgetOptions = z.strictObject({
  principal: Budget.default({}),
  tenant: Budget.default({}),
  /**
   * Takes the place of the table in limits/prices.ts: prices by the beginning of the model's name; the longest that fits counts, `*`
   * fits all. A model without a price counts at the dearest of the table. @default the table of Claude's models
   */
  prices: z
    .record(z.string(), TokenPrices)
    .refine((table) => Object.keys(table).length > 0, 'Name at least one price')
    .optional(),
})
export type BudgetOptions = z.infer<typeof BudgetOptions>
