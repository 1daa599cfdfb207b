/** A MongoDB client that lets a test come between the engine and any single operation: to fail it, to hold it, to look on. */
import type { Collection, Db, MongoClient } from 'mongodb'

interface Operation {
  readonly collection: string
  /** Name of the collection's method. */
  readonly method: string
}

/** Called instead of the operation, which `proceed` performs. */
export type Interceptor = (operation: Operation, proceed: () => Promise<unknown>) => Promise<unknown>

const intercepted = new Set([
  'countDocuments',
  'insertOne',
  'insertMany',
  'bulkWrite',
  'updateOne',
  'updateMany',
  'deleteMany',
  'bulkWrite',
  'findOneAndUpdate',
  'findOneAndDelete',
])

/** The same client, but every write, and every count, goes through `intercept`. */
export function interceptOperations(client: MongoClient, intercept: Interceptor): MongoClient {
  return replaceMethods(client, {
    db: (...args: Parameters<MongoClient['db']>) => interceptDb(client.db(...args), intercept),
  })
}

function interceptDb(db: Db, intercept: Interceptor): Db {
  return replaceMethods(db, { collection: (name: string) => interceptCollection(db.collection(name), intercept) })
}

function interceptCollection(collection: Collection, intercept: Interceptor): Collection {
  return new Proxy(collection, {
    get(target, method) {
      const value: unknown = Reflect.get(target, method, target)
      if (typeof value !== 'function') return value
      if (method === 'aggregate')
        return (...args: Parameters<Collection['aggregate']>) => interceptMerge(target, args, intercept)
      if (!intercepted.has(String(method))) return value.bind(target)
      const operation = { collection: target.collectionName, method: String(method) }
      return async (...args: unknown[]) => await intercept(operation, async () => await value.apply(target, args))
    },
  })
}

/** A pipeline that stores what it finds is a write, with the name `merge`. */
function interceptMerge(target: Collection, args: Parameters<Collection['aggregate']>, intercept: Interceptor) {
  const cursor = target.aggregate(...args)
  const merge: unknown = args[0]?.at(-1)?.['$merge']
  if (merge === undefined) return cursor
  const operation = { collection: target.collectionName, method: 'merge' }
  return replaceMethods(cursor, { toArray: async () => await intercept(operation, async () => await cursor.toArray()) })
}

function replaceMethods<TObject extends object>(object: TObject, methods: Record<string, unknown>): TObject {
  return new Proxy(object, {
    get(target, name) {
      const replaced = methods[String(name)]
      if (replaced !== undefined) return replaced
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) : value
    },
  })
}
