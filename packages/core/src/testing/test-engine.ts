import type { Agent } from '../ports/agent.ts'
import type { Logger } from '../ports/logger.ts'
import { createEngine } from '../engine/create-engine.ts'
import type { Engine } from '../engine/engine.ts'
import type { EngineOptionsInput } from '../ports/engine-options.ts'
import { openTestDatabase } from './test-database.ts'
import type { TestDatabase } from './test-database.ts'

export interface TestEngine extends AsyncDisposable {
  readonly engine: Engine
  readonly database: TestDatabase
}

/** The real engine on a database of its own; disposing closes the engine and drops the database. */
export async function openTestEngine(input: {
  /** Of a real MongoDB replica set. */
  readonly uri: string
  readonly agents: readonly Agent[]
  readonly logger?: Logger
  readonly options?: EngineOptionsInput
}): Promise<TestEngine> {
  const database = await openTestDatabase(input.uri)
  const { agents, logger, options } = input
  const engine = createEngine({ ...database.storage, agents, logger }, options)
  return {
    engine,
    database,
    async [Symbol.asyncDispose]() {
      await engine.close()
      await database[Symbol.asyncDispose]()
    },
  }
}
