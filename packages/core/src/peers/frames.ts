/** What two processes say to each other: one JSON object a line. An empty line says that the sender lives. */
import { z } from 'zod'
import { EventBatch } from '../contract/event.ts'
import type { RunKey } from '../ports/event-log.ts'

/** Changes with what the frames or the events mean: processes of two versions poll each other's runs. */
export const protocol = 'verbatim-hints-1'

/** Entries that are longer travel without their events: the follower reads the log. In UTF-16 units of JSON. */
export const maxEntryLength = 64 * 1024

/** A line of the process that writes: an entry, its key, and room for escapes. In UTF-16 units. */
export const maxGiverLine = maxEntryLength + 1024
/** A line of the process that follows. */
export const maxFollowerLine = 512

/** Runs that one process may follow of another one; further ones it polls. */
export const maxRunsPerPeer = 10_000

/** Only a process that read the run from the database, or follows it, knows the key: it is a digest with the owner's name in it. */
const key = z
  .string()
  .min(1)
  .max(128)
  .transform((text) => text as RunKey) // it names a run of this process, or none
const seq = z.int().nonnegative()

/** Of the process that follows. */
export const FollowerFrame = z.discriminatedUnion('type', [
  /** Give hints at the run, from the first event past `after` on. */
  z.strictObject({ type: z.literal('follow'), key, after: seq }),
  z.strictObject({ type: z.literal('unfollow'), key }),
])
export type FollowerFrame = z.infer<typeof FollowerFrame>

/** Of the process that writes. */
export const GiverFrame = z.discriminatedUnion('type', [
  /** Hints at the run come from now on. */
  z.strictObject({ type: z.literal('followed'), key }),
  /** The run's log has grown, by this entry when it is there. */
  z.strictObject({
    type: z.literal('grown'),
    key,
    entry: z.strictObject({ firstSeq: seq, events: z.array(z.unknown()) }).optional(),
  }),
  /** No more hints at the run: the process does not write it, or not any more. */
  z.strictObject({ type: z.literal('left'), key }),
])
export type GiverFrame = z.infer<typeof GiverFrame>

/** @throws an error without a word of the line when it is not a frame */
export function parseFrame<TFrame>(schema: z.ZodType<TFrame>, line: string): TFrame {
  const parsed = schema.safeParse(jsonOf(line))
  if (!parsed.success) throw new Error('The peer sends what is not a frame')
  return parsed.data
}

/** The entry as it came: the check only looks. @throws an error when it is not a batch of events */
export function requireBatch(entry: { readonly firstSeq: number; readonly events: readonly unknown[] }): EventBatch {
  if (!EventBatch.safeParse(entry).success) throw new Error('The peer sends what is not a batch')
  return entry as EventBatch // checked above
}

function jsonOf(line: string): unknown {
  try {
    return JSON.parse(line)
  } catch {
    return undefined
  }
}
