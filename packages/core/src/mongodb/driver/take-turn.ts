/**
 * Transactions that callers ask for wait here for their turn. Those of one session go one after another, because they conflict on its
 * document, and so do those of one owner that conflict on its guard. A process has a bounded number at once, because a database that is given more than it can do confirms none in time; owners
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
/** Callers that wait for the same session, or for the same guard: about a second's worth. */
const maxWaitingInLine = 64
/** Callers of one owner that wait; each holds its prompt in memory. */
const maxWaitingPerOwner = 256
const maxWaiting = 1_024

/** Ends of a process at once; they wait apart from what callers ask for, so that no flood keeps a run from ending. */
const maxActiveEnds = 32

/** What a transaction waits for. */
export interface Place {
  readonly owner: Owner
  readonly sessionId: SessionId
  /** True for one that meets the others of its owner, whatever their session. */
  readonly isGuarded?: boolean
}

/** Runs a transaction when it is its turn, until it succeeds. Answers, or throws, within 5 s. */
export type TakeTurn = <TResult>(place: Place, attempt: (signal: AbortSignal) => Promise<TResult>) => Promise<TResult>

/**
 * The calls throw what `attempt` does, and VerbatimError `SESSION_BUSY` (kind `contention`) or `OVERLOADED` (kind `writes`) when
 * their turn does not come, `UNAVAILABLE` when that is the database's fault.
 */
export function createTurns(): TakeTurn {
  const sessions = new Line({ maxActive: Infinity, maxActivePerKey: 1 })
  const guards = new Line({ maxActive: Infinity, maxActivePerKey: 1 })
  const owners = new Line({ maxActive, maxActivePerKey: maxActivePerOwner })
  const answers = { count: 0 }

  return async ({ owner: { tenantId, ownerId }, sessionId, isGuarded = false }, attempt) => {
    const owner = JSON.stringify([tenantId, ownerId])
    const session = JSON.stringify([tenantId, ownerId, sessionId])
    const end = requestDeadline()
    const common = { begin: lastTimeToBegin(), answers }
    const inSession = { ...common, line: sessions, key: session, maxWaitingOfKey: maxWaitingInLine, crowded: contended }
    const inGuard = { ...common, line: guards, key: owner, maxWaitingOfKey: maxWaitingInLine, crowded: overloaded }
    const inOwner = { ...common, line: owners, key: owner, maxWaitingOfKey: maxWaitingPerOwner, crowded: overloaded }
    const store = () => inLine(inOwner, () => storeUntil(end, attempt, answers))
    return await inLine(inSession, isGuarded ? () => inLine(inGuard, store) : store)
  }
}

/** How often the database has answered since the lines began. */
interface Answers {
  count: number
}

interface Waiting {
  readonly line: Line
  readonly key: string
  readonly maxWaitingOfKey: number
  /** Aborts when it is too late to begin. */
  readonly begin: AbortSignal
  readonly answers: Readonly<Answers>
  readonly crowded: () => VerbatimError
}

/** Enters the line, acts, and leaves it. */
async function inLine<TResult>(
  { line, key, maxWaitingOfKey, begin, answers, crowded }: Waiting,
  act: () => Promise<TResult>,
): Promise<TResult> {
  if (line.waitingOf(key) >= maxWaitingOfKey) throw crowded()
  if (line.waiting >= maxWaiting) throw overloaded()
  const before = answers.count
  try {
    await line.enter(key, begin)
  } catch (error) {
    // Where others got an answer meanwhile, the database is well.
    throw answers.count > before ? crowded() : unavailable(error)
  }
  try {
    return await act()
  } finally {
    line.leave(key)
  }
}

async function storeUntil<TResult>(
  end: AbortSignal,
  attempt: (signal: AbortSignal) => Promise<TResult>,
  answers: Answers,
): Promise<TResult> {
  try {
    const result = await retryRequest(attempt, undefined, end)
    answers.count++
    return result
  } catch (error) {
    if (!isUnavailable(error)) answers.count++
    throw error
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
