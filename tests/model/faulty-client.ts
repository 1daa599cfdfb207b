/**
 * The real driver, of which chosen calls fail: before the server had them, or after it did them and only the answer was lost.
 * The error is the one of a connection that is cut, so what stands above must repeat the call, and must not do its work twice.
 */
import { MongoNetworkError } from 'mongodb'
import type { ClientSession, Collection, Db, FindCursor, MongoClient } from 'mongodb'

export interface Fault {
  /** Calls that succeed before this one fails, counted from the fault before. */
  readonly skip: number
  readonly when: 'before' | 'after'
}

export interface FaultyClient {
  readonly client: MongoClient
  /** The next calls fail as `faults` say; those of an earlier `arm` that were not reached are forgotten. */
  arm(faults: readonly Fault[]): void
  /** The faults that calls ran into since {@link arm}. */
  struck(): readonly Fault[]
}

type Call = <TResult>(work: () => Promise<TResult>) => Promise<TResult>

const calls = new Set([
  'insertMany',
  'insertOne',
  'bulkWrite',
  'updateOne',
  'updateMany',
  'findOneAndUpdate',
  'findOne',
  'deleteMany',
])

export function faultyClient(client: MongoClient): FaultyClient {
  let armed: Fault[] = []
  let struck: Fault[] = []
  let passed = 0
  const call: Call = async (work) => {
    const [next] = armed
    if (next === undefined || passed++ < next.skip) return await work()
    passed = 0
    armed = armed.slice(1)
    struck = [...struck, next]
    if (next.when === 'after') await work()
    throw lostAnswer()
  }
  return {
    client: over(client, {
      db: (...input: Parameters<MongoClient['db']>) => faultyDb(client.db(...input), call),
      withSession: (body: (session: ClientSession) => Promise<unknown>) =>
        client.withSession(async (session) => await body(faultyCommit(session, call))),
    }),
    arm(faults) {
      armed = [...faults]
      struck = []
      passed = 0
    },
    struck: () => struck,
  }
}

/** As the driver labels a commit whose answer did not come; elsewhere the label is not looked at. */
function lostAnswer(): MongoNetworkError {
  const error = new MongoNetworkError('connection closed (by the test)')
  error.addErrorLabel('UnknownTransactionCommitResult')
  return error
}

function faultyDb(db: Db, call: Call): Db {
  return over(db, {
    collection: (...input: Parameters<Db['collection']>) => faultyCollection(db.collection(...input), call),
  })
}

function faultyCollection(collection: Collection, call: Call): Collection {
  return new Proxy(collection, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target)
      if (typeof value !== 'function') return value
      if (name === 'find') return (...input: unknown[]) => faultyCursor(value.apply(target, input), call)
      if (typeof name === 'symbol' || !calls.has(name)) return value.bind(target)
      return async (...input: unknown[]) => await call(async () => await value.apply(target, input))
    },
  })
}

/** Changed in place: its methods answer itself. */
function faultyCursor(cursor: FindCursor, call: Call): FindCursor {
  const toArray = cursor.toArray.bind(cursor)
  const iterate = cursor[Symbol.asyncIterator].bind(cursor)
  cursor.toArray = async () => await call(toArray)
  cursor[Symbol.asyncIterator] = async function* () {
    yield* await call(async () => await Promise.resolve(iterate()))
  }
  return cursor
}

/** Changed in place: the driver knows its sessions by identity. */
function faultyCommit(session: ClientSession, call: Call): ClientSession {
  const commit = session.commitTransaction.bind(session)
  session.commitTransaction = async () => await call(commit)
  return session
}

function over<TTarget extends object>(target: TTarget, replaced: Partial<Record<keyof TTarget, unknown>>): TTarget {
  return new Proxy(target, {
    get(real, name) {
      if (name in replaced) return Reflect.get(replaced, name)
      const value: unknown = Reflect.get(real, name, real)
      return typeof value === 'function' ? value.bind(real) : value
    },
  })
}
