import type { Agent } from '../ports/agent.ts'
import type { Logger } from '../ports/logger.ts'
import { createServerCore } from '../create-server-core.ts'
import type { ServerCore } from '../server-core.ts'
import type { ServerOptionsInput } from '../server-options.ts'
import { openTestDatabase } from './test-database.ts'
import type { TestDatabase } from './test-database.ts'

export interface TestCore extends AsyncDisposable {
  readonly core: ServerCore
  readonly database: TestDatabase
}

/** The real engine on a database of its own; disposing closes the engine and drops the database. */
export async function openTestCore(input: {
  /** Of a real MongoDB replica set. */
  readonly uri: string
  readonly agents: readonly Agent[]
  readonly logger?: Logger
  readonly options?: ServerOptionsInput
}): Promise<TestCore> {
  const database = await openTestDatabase(input.uri)
  const logger = input.logger === undefined ? {} : { logger: input.logger }
  const core = createServerCore({ ...database.storage, agents: input.agents, ...logger }, input.options)
  return {
    core,
    database,
    async [Symbol.asyncDispose]() {
      await core.close()
      await database[Symbol.asyncDispose]()
    },
  }
}
