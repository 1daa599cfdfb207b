import { z } from 'zod'
import { RunId, SessionId } from './identifiers.ts'

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
  /** The run that is being made; null when the session is idle. */
  activeRunId: RunId.nullable(),
  messageCount: z.int().nonnegative(),
  createdAt: z.iso.datetime(),
  updatedAt: z.iso.datetime(),
})
export type Session = z.infer<typeof Session>
