/** A server whose answer another process goes on with: real engines, sockets and MongoDB, in this process. */
// oxlint-disable-next-line no-restricted-imports -- only to serve; the command talks through the client
import { createApi } from '@verbatim/api'
// oxlint-disable-next-line no-restricted-imports -- as above
import { createEngine } from '@verbatim/core/server'
// oxlint-disable-next-line no-restricted-imports -- as above
import { openTestDatabase, scriptedAgent } from '@verbatim/core/testing'
// oxlint-disable-next-line no-restricted-imports -- as above
import type { Script } from '@verbatim/core/testing'
import { serve } from '@verbatim/test-kit/http'

export interface Fleet extends AsyncDisposable {
  readonly url: string
  /** A second process claims the runs that go on now, as if the first had hung, and goes on with them. */
  takeOver(): Promise<void>
}

const leases = { heartbeatMs: 200, selfFenceMs: 2_000, leaseMs: 2_500, recoveryMs: 30, pollMs: 50 }

export async function startFleet(input: { mongoUri: string; first: Script; rest: Script }): Promise<Fleet> {
  const database = await openTestDatabase(input.mongoUri)
  const open = (script: Script, recoveryMs: number) => {
    const agent = { ...scriptedAgent(script), onCrash: 'continue' as const }
    return createEngine({ ...database.storage, agents: [agent] }, { ...leases, recoveryMs })
  }
  // The process that is spoken to is not lost, and only looks on as its runs are taken.
  const front = open(input.first, 600_000)
  const engines = [front]
  const site = await serve(createApi({ engine: front, authenticate: () => ({ userId: 'ada' }) }))
  return {
    url: site.url,
    async takeOver() {
      const expired = { 'lease.renewedAt': new Date(0), 'lease.processId': 'lost' }
      const runs = database.client.db(database.databaseName).collection('runs')
      await runs.updateMany({ status: 'running' }, { $set: expired })
      engines.push(open(input.rest, leases.recoveryMs))
    },
    async [Symbol.asyncDispose]() {
      await site[Symbol.asyncDispose]()
      await Promise.all(engines.map(async (engine) => await engine.close()))
      await database[Symbol.asyncDispose]()
    },
  }
}
