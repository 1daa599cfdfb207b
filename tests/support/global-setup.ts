import { resolveMongoUri } from '@verbatim/embedded-mongodb'
import type { TestProject } from 'vitest/node'
import { env } from './env.ts'

/**
 * One real MongoDB for the whole run: `MONGODB_URI` if it is set, else a throw-away mongod. Without either the run is
 * red, never skipped. A test asks for it with `inject('mongoUri')` and makes a database of its own.
 */
export default async function setup(project: TestProject): Promise<() => Promise<void>> {
  const mongo = await resolveMongoUri({ env, port: 0, setParameters: { enableTestCommands: 1 } })
  project.provide('mongoUri', mongo.uri)
  return async () => {
    await mongo.stop()
  }
}
