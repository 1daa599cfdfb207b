/** Engines over one real database, as several processes would have them, with any port wrapped. */
import { createEngine } from '@verbatim/core/server'
import type { Agent, ContentEncryption, Engine, EngineOptionsInput, EnginePorts } from '@verbatim/core/server'
import { openTestDatabase } from '@verbatim/core/testing'
import type { TestDatabase } from '@verbatim/core/testing'
import { inject } from 'vitest'
import { answerOf, pacedAgent, turn } from './agents.ts'

export interface EngineInput {
  readonly agents: readonly Agent[]
  readonly options?: EngineOptionsInput
  /** Replaces ports, given the real ones. */
  readonly wrap?: (ports: TestDatabase['storage']) => Partial<EnginePorts>
}

/**
 * Every poll is so frequent that a test need not wait, and a lease outlasts whatever holds a busy machine up: a test that
 * needs one to expire calls {@link expireLeases}.
 */
export const shortLeases = {
  heartbeatMs: 200,
  selfFenceMs: 12_000,
  leaseMs: 15_000,
  recoveryMs: 100,
  cancelPollMs: 50,
} as const satisfies EngineOptionsInput

/** For tests that wait until a lease expires by itself, or would have: short, but no shorter than a machine may stall. */
export const expiringLeases = {
  ...shortLeases,
  selfFenceMs: 5_000,
  leaseMs: 6_000,
} as const satisfies EngineOptionsInput

export async function openDatabase(encryption = usual.encryption): Promise<TestDatabase> {
  return await openTestDatabase(inject('mongoUri'), { encryption })
}

/** How every database of a test file is opened; see seal-everything.ts. */
export const usual: { encryption: ContentEncryption | undefined } = { encryption: undefined }

/** One more engine ("process") over `database`. */
export function openEngine(database: TestDatabase, { agents, options, wrap }: EngineInput): Engine {
  const ports = { ...database.storage, agents }
  return createEngine({ ...ports, ...wrap?.(database.storage) }, { pollMs: 50, ...options })
}

/** As if 50 years had passed: any process may take over what runs now. */
export async function expireLeases(database: TestDatabase): Promise<void> {
  const runs = database.client.db(database.databaseName).collection('runs')
  await runs.updateMany({ status: 'running' }, { $set: { 'lease.renewedAt': new Date(0) } })
}

/** A database and one engine over it, closed together. */
export async function openOne(input: EngineInput) {
  const database = await openDatabase()
  const engine = openEngine(database, input)
  return {
    engine,
    database,
    async [Symbol.asyncDispose]() {
      await engine.close()
      await database[Symbol.asyncDispose]()
    },
  }
}

/** As {@link openOne}; its agent says `text` so often, and so slowly, that a log has more entries than one read of it takes. */
export async function openLongLog(text: string, options: EngineOptionsInput) {
  const events = answerOf(Array.from({ length: 150 }, () => text))
  const pause = async () => {
    while (test.engine.stats().pendingBytes > 0) await turn()
  }
  // A ring of one batch: a follower that is late reads the log.
  const test = await openOne({ agents: [pacedAgent(events, { pause })], options: { ...options, maxRingBytes: 1 } })
  return test
}
