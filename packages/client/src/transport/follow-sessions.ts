import { VerbatimError } from '@verbatim/core'
import type { SessionState } from './session-state.ts'
import type { Hub, HubNews, Topic } from './stream-hub.ts'

/** What `sessions.follow` follows. */
export interface FollowSessionsOptions {
  /** Sessions; one need not be there yet. */
  readonly sessionIds?: readonly string[] | undefined
  /** True for the list of all sessions, too. @default false */
  readonly list?: boolean | undefined
  /** Ends the iteration, which then throws its reason. */
  readonly signal?: AbortSignal | undefined
}

/** The newest states: of what changes while the reader is busy, only the newest is kept. */
export async function* followSessions(
  hub: Hub,
  { sessionIds = [], list = false, signal }: FollowSessionsOptions,
  closed: AbortSignal,
): AsyncGenerator<SessionState, void, void> {
  const pending = new Map<string, SessionState>()
  let failure: VerbatimError | undefined
  let wake = () => {}
  const receive = (topic: string) => (news: HubNews) => {
    if (news.type === 'closed') failure = news.error ?? new VerbatimError('UNAVAILABLE', 'The stream has ended')
    else if (news.type !== 'connection' && news.type !== 'run_batch') pending.set(topic, news)
    wake()
  }
  const topics: Topic[] = [...new Set(sessionIds)].map((sessionId) => ({ type: 'session', sessionId }))
  if (list) topics.push({ type: 'list' })
  const either = signal === undefined ? closed : AbortSignal.any([signal, closed])
  const onAbort = () => wake()
  either.addEventListener('abort', onAbort)
  const leave = topics.map((topic) => hub.subscribe(topic, receive(JSON.stringify(topic))))
  try {
    while (true) {
      either.throwIfAborted()
      const [next] = pending
      if (next !== undefined) {
        pending.delete(next[0])
        yield next[1]
      } else if (failure === undefined) await new Promise<void>((resolve) => (wake = resolve))
      else throw failure
    }
  } finally {
    for (const one of leave) one()
    either.removeEventListener('abort', onAbort)
  }
}
