/**
 * Follow of sessions: the newest state of each, and of the owner's list. In: what to follow. Out: updates, each newer than the one
 * before it of the same session. A follower keeps what it has sent, and sends what differs from it when its reader has room: states that
 * a slow reader misses are left out.
 */
import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { SessionUpdate } from '../../contract/session-update.ts'
import { changeBetween } from './list-feed.ts'
import type { ListFeed, ListState } from './list-feed.ts'
import type { SessionFeed, SessionState } from './session-feed.ts'
import type { SessionFeeds } from './session-feeds.ts'

export interface FollowedSessions {
  readonly sessionIds: readonly SessionId[]
  readonly list: boolean
  readonly signal: AbortSignal
}

/** Ends only when `signal` aborts. @throws VerbatimError `UNAVAILABLE` when the first states cannot be read; the signal's reason */
export async function* followSessions(
  feeds: SessionFeeds,
  owner: Owner,
  { sessionIds, list, signal }: FollowedSessions,
): AsyncGenerator<SessionUpdate, void, void> {
  const wakeUp = createWakeUp(signal)
  const sessions = [...new Set(sessionIds)].map((sessionId) => ({
    ...feeds.acquireSession(owner, sessionId, wakeUp.wake),
    sessionId,
  }))
  const ownList = list ? feeds.acquireList(owner, wakeUp.wake) : undefined
  const sources = [
    ...(ownList === undefined ? [] : [listSource(ownList.feed)]),
    ...sessions.map(({ sessionId, feed }) => sessionSource(sessionId, feed)),
  ]
  try {
    while (true) {
      signal.throwIfAborted()
      yield* updatesOf(sources)
      await wakeUp.wait()
    }
  } finally {
    wakeUp.close()
    for (const { release } of sessions) release()
    ownList?.release()
  }
}

/** Gives what its reader does not have yet, and takes it as read. */
type Source = () => SessionUpdate | undefined

/** Each is made when the one before was taken. */
function* updatesOf(sources: readonly Source[]): Generator<SessionUpdate, void, void> {
  for (const next of sources) {
    const update = next()
    if (update !== undefined) yield update
  }
}

function sessionSource(sessionId: SessionId, feed: SessionFeed): Source {
  let sent: SessionState | undefined
  return () => {
    const { state } = feed
    if (state === undefined || state === sent) return undefined
    sent = state
    if (state === 'deleted') return { type: 'session_deleted', sessionId }
    return { type: 'session', sessionId, session: state === 'absent' ? null : state }
  }
}

function listSource(feed: ListFeed): Source {
  let sent: ListState | undefined
  return () => {
    const { state } = feed
    if (state === undefined || state === sent) return undefined
    const before = sent
    sent = state
    if (before === undefined) {
      return { type: 'list', sessions: [...state.sessions.values()], nextCursor: state.nextCursor }
    }
    const change = changeBetween(before, state)
    return change && { type: 'list_changed', ...change }
  }
}

/** A wait that a wake-up ends, also one that came before it. */
function createWakeUp(signal: AbortSignal) {
  let isAwake = true
  let settle = () => {}
  const wake = () => {
    isAwake = true
    settle()
  }
  signal.addEventListener('abort', wake, { once: true })
  return {
    wake,
    async wait() {
      await new Promise<void>((resolve) => {
        settle = resolve
        if (isAwake) resolve()
      })
      isAwake = false
    },
    close: () => signal.removeEventListener('abort', wake),
  }
}
