/**
 * Transactions that callers ask for wait here for their turn. Those of one session go one after another, because they conflict on its
 * document. A process has a bounded number at once, because a database that is given more than it can do confirms none in time; owners
 * take turns, so that one with many calls does not hold up the others. A call that gives up in the line has stored nothing.
 */
import { Line } from '../../async/line.ts'
import { isUnavailable } from '../../contract/errors.ts'
import type { VerbatimError } from '../../contract/errors.ts'
import type { SessionId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import { contended, overloaded, unavailable } from './map-error.ts'
import { lastTimeToBegin, requestDeadline, retryRequest, retryUntil } from './retry.ts'

/** Transactions of a process at once. More do not make a database faster: of 600 at once, none was confirmed in 4.5 s. */
const maxActive = 32
/** Those of one owner: a flood of one leaves room for the others. */
const maxActivePerOwner = 8
/** Callers that wait for the same session: about a second's worth. */
const maxWaitingInSession = 64
/** Callers of one owner that wait; each holds its prompt in memory. */
const maxWaitingPerOwner = 256
const maxWaiting = 1_024

/** Ends of a process at once; they wait apart from what callers ask for, so that no flood keeps a run from ending. */
const maxActiveEnds = 32

/** What a transaction waits for. */
export interface Place {
  readonly owner: Owner
  /** Null for one that meets the others of its owner, whatever their session. */
  readonly sessionId: SessionId | null
}

/** Runs a transaction when it is its turn, until it succeeds. Answers, or throws, within 5 s. */
export type TakeTurn = <TResult>(place: Place, attempt: (signal: AbortSignal) => Promise<TResult>) => Promise<TResult>

/** When a call gives up: as one that waits, and as one that the database does not answer. */
interface Deadlines {
  readonly begin: AbortSignal
  readonly end: AbortSignal
}

/**
 * The calls throw what `attempt` does, and VerbatimError `SESSION_BUSY` (kind `contention`) or `OVERLOADED` (kind `writes`) when
 * their turn does not come, `UNAVAILABLE` when that is the database's fault.
 */
export function createTurns(): TakeTurn {
  const sessions = new Line({ maxActive: Infinity, maxActivePerKey: 1 })
  const owners = new Line({ maxActive, maxActivePerKey: maxActivePerOwner })
  let answered = 0

  async function enter(entering: Promise<void>, crowded: () => VerbatimError): Promise<void> {
    const before = answered
    try {
      await entering
    } catch (error) {
      // Where others got an answer meanwhile, the database is well.
      throw answered > before ? crowded() : unavailable(error)
    }
  }

  async function store<TResult>(
    owner: string,
    attempt: (signal: AbortSignal) => Promise<TResult>,
    { begin, end }: Deadlines,
  ): Promise<TResult> {
    if (owners.waitingOf(owner) >= maxWaitingPerOwner || owners.waiting >= maxWaiting) throw overloaded()
    await enter(owners.enter(owner, begin), overloaded)
    try {
      const result = await retryRequest(attempt, undefined, end)
      answered++
      return result
    } catch (error) {
      if (!isUnavailable(error)) answered++
      throw error
    } finally {
      owners.leave(owner)
    }
  }

  return async ({ owner: { tenantId, ownerId }, sessionId }, attempt) => {
    const owner = JSON.stringify([tenantId, ownerId])
    const session = JSON.stringify([tenantId, ownerId, sessionId])
    const crowded = sessionId === null ? overloaded : contended
    if (sessions.waitingOf(session) >= maxWaitingInSession) throw crowded()
    if (sessions.waiting >= maxWaiting) throw overloaded()
    const deadlines = { begin: lastTimeToBegin(), end: requestDeadline() }
    await enter(sessions.enter(session, deadlines.begin), crowded)
    try {
      return await store(owner, attempt, deadlines)
    } finally {
      sessions.leave(session)
    }
  }
}

/** Runs the transaction that ends a run when it is its turn, until it succeeds or `signal` aborts. */
export type TakeEndTurn = <TResult>(
  signal: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<TResult>,
) => Promise<TResult>

/** The calls throw what `attempt` does, and VerbatimError `UNAVAILABLE` when the signal aborts. */
export function createEndTurns(): TakeEndTurn {
  const line = new Line({ maxActive: maxActiveEnds, maxActivePerKey: maxActiveEnds })
  return async (signal, attempt) => {
    await line.enter('', signal).catch((error: unknown) => {
      throw unavailable(error)
    })
    try {
      return await retryUntil(signal, attempt)
    } finally {
      line.leave('')
    }
  }
}
