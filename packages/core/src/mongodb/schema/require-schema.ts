import type { Db } from 'mongodb'
import { VerbatimError } from '../../contract/errors.ts'
import { collectionPlans } from './collection-plans.ts'
import type { CollectionPlan } from './collection-plans.ts'
import type { SchemaDocument } from './collections.ts'
import { documentVersion } from './version.ts'
import { isMissingCollection } from '../driver/map-error.ts'

/**
 * Checks that everything that {@link migrate} makes is there. Without a unique index, order and fence do not hold; without the others,
 * the cost of a turn grows with history.
 *
 * @throws VerbatimError `UNSUPPORTED_DEPLOYMENT` naming what is missing, `UNSUPPORTED_VERSION` when a newer server has migrated the database
 */
export async function requireSchema(db: Db): Promise<void> {
  await requireKnownSchema(db)
  const missing = await Promise.all(collectionPlans.map((plan) => missingOf(db, plan)))
  const [first] = missing.flat()
  if (first === undefined) return
  throw new VerbatimError(
    'UNSUPPORTED_DEPLOYMENT',
    `${first} is missing in MongoDB; start a server, which makes it again`,
  )
}

/** @throws VerbatimError `UNSUPPORTED_VERSION` */
export async function requireKnownSchema(db: Db): Promise<void> {
  const found = await db.collection<SchemaDocument>('schema').findOne({ _id: 'schema' })
  if (found === null || found.version <= documentVersion) return
  throw new VerbatimError(
    'UNSUPPORTED_VERSION',
    `The database has version ${found.version}; this server knows ${documentVersion}. Upgrade this server`,
  )
}

async function missingOf(db: Db, { name, indexes, options }: CollectionPlan): Promise<string[]> {
  const found = await db
    .collection(name)
    .listIndexes()
    .toArray()
    .catch((error: unknown) => {
      if (isMissingCollection(error)) return undefined
      throw error
    })
  if (found === undefined) return [`The collection ${name}`]
  if (options.clusteredIndex !== undefined && !found.some((index) => index['clustered'] === true)) {
    return [`The clustered index of ${name}`]
  }
  const isThere = (index: (typeof indexes)[number]) =>
    found.some((one) => one['name'] === index.name && (one['unique'] ?? false) === (index.unique ?? false))
  return indexes.filter((index) => !isThere(index)).map((index) => `The index ${name}.${index.name}`)
}
