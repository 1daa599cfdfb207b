import { MongoServerError } from 'mongodb'
import type { Db, IndexDescription } from 'mongodb'
import { isUnavailable, isVerbatimError, VerbatimError } from '../../contract/errors.ts'
import { collectionPlans, obsoleteIndexes } from './collection-plans.ts'
import type { SchemaDocument } from './collections.ts'
import { requireKnownSchema, requireSchema } from './require-schema.ts'
import { documentVersion } from './version.ts'
import { isTransient } from '../driver/map-error.ts'
import { retryRequest, tryOnce } from '../driver/retry.ts'

/** Building an index of a large collection takes long, in milliseconds. */
const indexBuildMs = 30 * 60_000

/** An election may come in between. */
const maxTries = 5

const namespaceExists = 48
const indexNotFound = 27
/** The index is there with other options, its name is another index's, or what is stored breaks its uniqueness. */
const conflicts = new Set<number | string | undefined>([85, 86, 11_000])
/** Unauthorized, and what Atlas answers in its place. */
const forbidden = new Set<number | string | undefined>([13, 8_000])
const oldestMajorVersion = 6

/**
 * Makes the collections and indexes that are missing, and drops those that an earlier version needed; run it once at start, any number
 * of processes at a time. A user that may not make any needs none to be missing.
 *
 * @throws VerbatimError `UNAVAILABLE`; `UNSUPPORTED_VERSION` when a newer server has migrated the database; `UNSUPPORTED_DEPLOYMENT` when MongoDB is a standalone server, is older than 6, or refuses a
 * collection or an index; the message says which, and what to do.
 */
export async function migrate(db: Db): Promise<void> {
  for (let tries = 1; ; tries++) {
    // Says within 5 s that there is no database; what follows may take long.
    await retryRequest(() => requireReplicaSet(db)).catch(rethrowRefusal('the commands hello and buildInfo'))
    try {
      return await tryOnce(() => makeWhatIsMissing(db), { withinMs: indexBuildMs })
    } catch (error) {
      if (isForbidden(error)) return await requireSchema(db).catch(() => Promise.reject(error))
      if (!isUnavailable(error) || tries === maxTries) throw error
    }
  }
}

function isForbidden(error: unknown): boolean {
  const cause = isVerbatimError(error) ? error.cause : undefined
  return cause instanceof MongoServerError && forbidden.has(cause.code)
}

async function makeWhatIsMissing(db: Db): Promise<void> {
  await requireKnownSchema(db)
  for (const { name, options, indexes } of collectionPlans) {
    const isClustered = options.clusteredIndex !== undefined
    const collection = isClustered ? `the collection ${name} with a clustered index` : `the collection ${name}`
    await db.createCollection(name, options).catch(ignoreExisting).catch(rethrowRefusal(collection))
    if (indexes.length > 0) await createIndexes(db, name, indexes)
  }
  await dropObsolete(db)
  await raiseSchema(db)
}

async function dropObsolete(db: Db): Promise<void> {
  for (const [name, obsolete] of Object.entries(obsoleteIndexes)) {
    const found = await db.collection(name).listIndexes().toArray()
    for (const index of obsolete) {
      if (!found.some((one) => one['name'] === index)) continue
      await db
        .collection(name)
        .dropIndex(index)
        .catch(ignoreMissing)
        .catch(rethrowRefusal(`to drop ${name}.${index}`))
    }
  }
}

/** Last: from here on older servers say that they are not ready. */
async function raiseSchema(db: Db): Promise<void> {
  const schema = db.collection<SchemaDocument>('schema')
  await schema.updateOne({ _id: 'schema' }, { $max: { version: documentVersion } }, { upsert: true })
}

/** All at once, which reads a large collection once; after a refusal one by one, which tells the index that was refused. */
async function createIndexes(db: Db, name: string, indexes: readonly IndexDescription[]): Promise<void> {
  const collection = db.collection(name)
  try {
    await collection.createIndexes([...indexes])
  } catch (error) {
    if (isTransient(error)) throw error
    for (const index of indexes) {
      await collection.createIndexes([index]).catch(rethrowRefusal(`the index ${name}.${index.name}`))
    }
  }
}

async function requireReplicaSet(db: Db): Promise<void> {
  const hello = await db.command({ hello: 1 })
  if (hello['setName'] === undefined && hello['msg'] !== 'isdbgrid') {
    throw new VerbatimError(
      'UNSUPPORTED_DEPLOYMENT',
      'MongoDB runs as a standalone server, which has no transactions; start it with --replSet rs0 and run rs.initiate() once',
    )
  }
  const { version } = await db.command({ buildInfo: 1 })
  if (Number.parseInt(String(version), 10) < oldestMajorVersion) {
    throw new VerbatimError(
      'UNSUPPORTED_DEPLOYMENT',
      `MongoDB ${version} is too old; use ${oldestMajorVersion}.0 or later`,
    )
  }
}

/** Another process was faster. */
function ignoreMissing(error: unknown): void {
  if (!(error instanceof MongoServerError && error.code === indexNotFound)) throw error
}

function ignoreExisting(error: unknown): void {
  if (!(error instanceof MongoServerError && error.code === namespaceExists)) throw error
}

/** @param what that MongoDB was asked to make */
function rethrowRefusal(what: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof MongoServerError) || isTransient(error)) throw error
    throw new VerbatimError('UNSUPPORTED_DEPLOYMENT', `MongoDB refuses ${what}: ${remedyOf(error)}`, { cause: error })
  }
}

function remedyOf({ code, codeName }: MongoServerError): string {
  if (conflicts.has(code)) return 'drop the index that conflicts with it, or remove the duplicate documents'
  if (forbidden.has(code)) return 'grant the user the role readWrite on this database'
  return `the server does not support it (${codeName ?? code}); use MongoDB ${oldestMajorVersion} or later, or MongoDB Atlas`
}
