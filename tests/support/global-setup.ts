import { resolveMongoUri } from '@verbatim/embedded-mongodb'
import type { TestProject } from 'vitest/node'
import { env } from './env.ts'

/**
 * A dropped database stays on disk for so long, each of its indexes an open file. With the default of 300 the tests' databases of five
 * minutes are more files than a process may open (20,000), and mongod ends.
 */
const historyWindowSeconds = 5

/**
 * One real MongoDB for the whole run: `MONGODB_URI` if it is set, else a throw-away mongod. Without either the run is
 * red, never skipped. A test asks for it with `inject('mongoUri')` and makes a database of its own.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const setParameters = { enableTestCommands: 1, minSnapshotHistoryWindowInSeconds: historyWindowSeconds }
  const mongo = await resolveMongoUri({ env, port: 0, setParameters, journalIntervalMs: 5 })
  project.provide('mongoUri', mongo.uri)
  return async () => {
    await mongo.stop()
  }
}
