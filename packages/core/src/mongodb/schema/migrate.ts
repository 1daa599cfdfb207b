import { MongoServerError } from 'mongodb'
import type { Db } from 'mongodb'
import { isVerbatimError, VerbatimError } from '../../contract/errors.ts'
import { collectionPlans } from './collections.ts'
import { retryRequest, tryOnce } from '../driver/retry.ts'

/** An index of a collection that is large already takes its time, in milliseconds. */
const indexBuildMs = 30 * 60_000

/** An election may come in between. */
const maxTries = 5

const namespaceExists = 48
/** The index is there with other options, its name is another index's, or what is stored breaks its uniqueness. */
const indexRefusals = new Set<number | string | undefined>([85, 86, 11_000])
const oldestMajorVersion = 6

/**
 * Makes the collections and indexes that are missing; run it once at start, any number of processes at a time.
 *
 * @throws VerbatimError `UNAVAILABLE`; `UNSUPPORTED_DEPLOYMENT` when MongoDB is a standalone server, is older than 6, or refuses an index.
 */
export async function migrate(db: Db): Promise<void> {
  for (let tries = 1; ; tries++) {
    // Says within 5 s that there is no database; what follows may take long.
    await retryRequest(() => requireReplicaSet(db))
    try {
      return await tryOnce(() => makeWhatIsMissing(db), { withinMs: indexBuildMs })
    } catch (error) {
      if (!isVerbatimError(error) || error.code !== 'UNAVAILABLE' || tries === maxTries) throw error
    }
  }
}

async function makeWhatIsMissing(db: Db): Promise<void> {
  for (const plan of collectionPlans) {
    await db.createCollection(plan.name, plan.options).catch(ignoreExisting)
    if (plan.indexes.length === 0) continue
    await db
      .collection(plan.name)
      .createIndexes([...plan.indexes])
      .catch(rethrowRefusal(plan.name))
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

function ignoreExisting(error: unknown): void {
  if (!(error instanceof MongoServerError && error.code === namespaceExists)) throw error
}

function rethrowRefusal(collection: string): (error: unknown) => never {
  return (error) => {
    if (!(error instanceof MongoServerError && indexRefusals.has(error.code))) throw error
    throw new VerbatimError(
      'UNSUPPORTED_DEPLOYMENT',
      `MongoDB refuses an index of the collection ${collection}: drop the one that is in its way, or remove the doubled documents`,
      { cause: error },
    )
  }
}
