/** What a follow of sessions says: always the newest state, never a history. */
import { z } from 'zod'
import type { WireError } from './errors.ts'
import type { EventBatch } from './event.ts'
import { RunId, SessionId } from './identifiers.ts'
import { maxFollowed } from './max-followed.ts'
import type { Session } from './session.ts'

/** What one stream of `sessions.follow` brings. */
export const FollowSessionsInput = z.strictObject({
  /** Sessions to follow; one need not be there yet. */
  sessionIds: z.array(SessionId).max(maxFollowed.sessions).default([]),
  /** True to follow the caller's list of sessions, too. */
  list: z.boolean().default(false),
  /** Runs to follow, each from its start or from a cursor. */
  runs: z
    .array(z.strictObject({ runId: RunId, lastEventId: z.string().nullish() }))
    .max(maxFollowed.runs)
    .default([]),
})
export type FollowSessionsInput = z.infer<typeof FollowSessionsInput>

/** The state of a session, or of the list, as it is now. States that a slow reader misses are left out. */
export type SessionUpdate =
  /** The newest state of a followed session. Null while there is none of this id. */
  | { readonly type: 'session'; readonly sessionId: SessionId; readonly session: Session | null }
  | { readonly type: 'session_deleted'; readonly sessionId: SessionId }
  /** The newest sessions of the list, newest activity first; `sessions.list` has the rest after `nextCursor`. */
  | { readonly type: 'list'; readonly sessions: readonly Session[]; readonly nextCursor: string | null }
  /** Sessions that are new in the list or have changed, and the ids of those that were deleted. */
  | {
      readonly type: 'list_changed'
      readonly sessions: readonly Session[]
      readonly removedIds: readonly SessionId[]
    }

/** One item of a stream of `sessions.follow`. Clients ignore types that they do not know. */
export type FollowedUpdate =
  | SessionUpdate
  /** A batch of a followed run, once and in order. */
  | ({ readonly type: 'run_batch'; readonly runId: RunId } & EventBatch)
  /** Nothing comes of this run any more: it has ended, or, with an `error`, cannot be followed. */
  | { readonly type: 'run_closed'; readonly runId: RunId; readonly error: WireError | null }
