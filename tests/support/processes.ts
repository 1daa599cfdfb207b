/** Engines with connections of their own over one database, as processes of a fleet are. */
import { createMongoStorage } from '@verbatim/core/mongodb'
import { createEngine, systemClock } from '@verbatim/core/server'
import type { Agent, Clock, Engine, EngineOptionsInput } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { MongoClient } from 'mongodb'
import { inject } from 'vitest'
import { fastLeases } from './queue.ts'

export interface Process extends AsyncDisposable {
  readonly engine: Engine
}

export function openProcess(
  { databaseName }: TestDatabase,
  { agent, options, clock = systemClock }: { agent: Agent; options?: EngineOptionsInput; clock?: Clock },
): Process {
  const client = new MongoClient(inject('mongoUri'))
  const storage = createMongoStorage({ client, databaseName, clock })
  const engine = createEngine({ ...storage, agents: [agent], clock }, { ...fastLeases, ...options })
  return {
    engine,
    async [Symbol.asyncDispose]() {
      await engine.close()
      await client.close()
    },
  }
}

/** As many processes as asked for, closed together. */
export function openFleet(count: number, ...input: Parameters<typeof openProcess>) {
  const processes = Array.from({ length: count }, () => openProcess(...input))
  return {
    /** Takes them in turn. */
    at: (index: number): Engine => {
      const { engine } = processes[index % count] ?? {}
      if (engine === undefined) throw new Error('A fleet has a process at least')
      return engine
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(processes.map(async (one) => await one[Symbol.asyncDispose]()))
    },
  }
}
