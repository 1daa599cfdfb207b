import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Session } from '../../contract/session.ts'
import type { SessionKey } from '../../ports/deletion-repository.ts'
import type { PrincipalKey } from '../../ports/principal-repository.ts'
import type {
  ListProbe,
  NewestSessions,
  ProbedSession,
  SessionRecord,
  SessionStates,
} from '../../ports/session-states.ts'
import { Feed } from './feed.ts'

/** How many of the newest sessions a list's followers see: what a screen shows. */
const maxListed = 50

/** Clocks of servers may differ so much, and a commit may take so long, before a poll misses a change, in milliseconds. */
const probeOverlapMs = 10_000

/** The newest sessions of an owner, newest activity first. It never changes: the next one takes its place. */
export interface ListState {
  readonly sessions: ReadonlyMap<SessionKey, Session>
  readonly nextCursor: string | null
}

/** What has happened from one state of a list to the next. */
export interface ListChange {
  readonly sessions: readonly Session[]
  readonly removedIds: readonly SessionId[]
}

/** One owner's list. */
export class ListFeed extends Feed<PrincipalKey, ListState> {
  readonly #owner: Owner

  constructor(key: PrincipalKey, owner: Owner) {
    super(key)
    this.#owner = owner
  }

  keys(): SessionKey[] {
    return [...(this.known?.sessions.keys() ?? [])]
  }

  /** Reads the list; answers false when the read missed a session that changed at that moment, and nothing was taken. */
  async read(states: SessionStates): Promise<boolean> {
    const newest = await states.readNewest(this.#owner, maxListed)
    const { known } = this
    const next = await this.#toState(newest)
    if (known !== undefined && !(await areDeleted(states, removedBetween(known, next)))) return false
    this.update(next)
    return true
  }

  /** What the poll asks for. */
  probe(): ListProbe {
    const [newest] = this.known?.sessions.values() ?? []
    const since = newest === undefined ? 0 : Date.parse(newest.updatedAt) - probeOverlapMs
    return { owner: this.#owner, since: new Date(since) }
  }

  isBehind({ key, updatedAt }: ProbedSession): boolean {
    if (this.known === undefined) return true
    const { sessions, nextCursor } = this.known
    const listed = sessions.get(key)
    if (listed !== undefined || nextCursor === null) return listed?.updatedAt !== updatedAt
    return updatedAt > ([...sessions.values()].at(-1)?.updatedAt ?? '')
  }

  async #toState({ records, nextCursor }: NewestSessions): Promise<ListState> {
    const entries = records.map(async (record) => [record.key, await this.#toSession(record)] as const)
    return { sessions: new Map(await Promise.all(entries)), nextCursor }
  }

  /** What is known is not decrypted again; and after an election an older state does not take the place of a newer one. */
  async #toSession(record: SessionRecord): Promise<Session> {
    const known = this.known?.sessions.get(record.key)
    return known !== undefined && known.revision >= record.revision ? known : await record.toSession()
  }
}

/** What a follower that has seen `seen` does not know yet; undefined when that is nothing. */
export function changeBetween(seen: ListState, now: ListState): ListChange | undefined {
  const sessions: Session[] = []
  for (const [key, session] of now.sessions) {
    const before = seen.sessions.get(key)
    if (before === undefined || before.revision < session.revision) sessions.push(session)
  }
  const removedIds = removedBetween(seen, now).map(({ session }) => session.id)
  return sessions.length + removedIds.length === 0 ? undefined : { sessions, removedIds }
}

interface Listed {
  readonly key: SessionKey
  readonly session: Session
}

/** Sessions that have left the list, and not because newer ones took their places. */
function removedBetween(seen: ListState, now: ListState): Listed[] {
  const oldest = now.nextCursor === null ? undefined : [...now.sessions.values()].at(-1)
  const isShown = ({ updatedAt }: Session) => oldest === undefined || updatedAt > oldest.updatedAt
  return [...seen.sessions]
    .map(([key, session]) => ({ key, session }))
    .filter(({ key, session }) => !now.sessions.has(key) && isShown(session))
}

/** A session that moves within the index during the read may be missed by it: it is not deleted. */
async function areDeleted(states: SessionStates, removed: readonly Listed[]): Promise<boolean> {
  if (removed.length === 0) return true
  const records = await states.readRevisions(removed.map(({ key }) => key))
  return removed.every(({ key }) => typeof records.get(key) !== 'number')
}
