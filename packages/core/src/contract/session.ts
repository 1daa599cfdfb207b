import { z } from 'zod'
import { RunId, SessionId } from './identifiers.ts'

/** A session's name for people: 1 to 200 characters of well-formed text. */
export const SessionTitle = z
  .string()
  .trim()
  .min(1)
  .max(200)
  .refine((text) => text.isWellFormed() && !text.includes('\0'), 'Must be well-formed text')

/** One conversation, owned by one principal. */
export const Session = z.strictObject({
  id: SessionId,
  title: z.string().nullable(),
  /** The run that is active. Null when the session is idle. */
  activeRunId: RunId.nullable(),
  /** The runs that wait, in the order in which they will run. */
  queuedRunIds: z.array(RunId),
  messageCount: z.int().nonnegative(),
  /** Grows with every change of the session: of two states, the one with the higher revision is the newer. */
  revision: z.int().nonnegative(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
})
export type Session = z.infer<typeof Session>

/** The result of `sessions.delete`. */
export const DeleteSessionResult = z.strictObject({
  sessionId: SessionId,
  /** True when all that belonged to the session is gone; else the server removes it by itself after the session's run has ended. */
  isPurged: z.boolean(),
})
export type DeleteSessionResult = z.infer<typeof DeleteSessionResult>
