import { VerbatimError } from './errors.ts'

/** Whose limit it is. */
export type LimitScope = 'principal' | 'tenant' | 'process'

/** What a limit counts, with what a caller reads who is over it. */
const messages = {
  starts: (scope: LimitScope) => `Too many prompts of this ${scope}; wait, then call again`,
  bytes: (scope: LimitScope) => `Too much text of this ${scope} at once; wait, then call again`,
  followers: (scope: LimitScope) => `Too many open streams of this ${scope}; close one, or wait`,
  active_runs: (scope: LimitScope) => `Too many answers of this ${scope} are being made; wait for one to end`,
  sessions: (scope: LimitScope) => `This ${scope} has as many sessions as it may; delete one`,
  attachment_bytes: (scope: LimitScope) =>
    `The files of this ${scope} have as many bytes as they may; delete a session`,
} as const

export type LimitKind = keyof typeof messages

/** How soon it is worth asking again, where no clock tells: runs end at any moment, pages close, and no session goes by itself. */
const usualRetryMs = {
  starts: 1_000,
  bytes: 1_000,
  active_runs: 2_000,
  followers: 5_000,
  sessions: 60_000,
  attachment_bytes: 60_000,
} as const

/** What a caller receives that is over a limit: nothing is stored. */
export function rateLimited(
  scope: LimitScope,
  kind: LimitKind,
  retryAfterMs: number = usualRetryMs[kind],
): VerbatimError {
  return new VerbatimError('RATE_LIMITED', messages[kind](scope), {
    data: { kind: `${scope}_${kind}`, retryAfterMs },
  })
}
