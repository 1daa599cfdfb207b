/** The real server on a real socket: createApi on node:http over an engine on the real MongoDB. */
import { createApi } from '@verbatim/api'
import type { Api, ApiInput, ApiOptionsInput } from '@verbatim/api'
import { createClient } from '@verbatim/client'
import type { ClientOptions, VerbatimClient } from '@verbatim/client'
import { VerbatimError, WireError } from '@verbatim/core'
import type { Agent, Engine, EngineOptionsInput } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { json, query, serve } from '@verbatim/test-kit/http'
import type { Site } from '@verbatim/test-kit/http'
import { openDatabase, openEngine } from './engine.ts'

export interface AppInput {
  readonly agents: readonly Agent[]
  readonly options?: EngineOptionsInput
  readonly api?: ApiOptionsInput & Pick<ApiInput, 'endpoints'>
  /** Its own one when left out; give one to have several servers over it. */
  readonly database?: TestDatabase
}

/** A server. Bearer tokens are user ids, or `tenant/user`; `ada` calls unless a call says otherwise, and `operator` is one. */
export interface App extends Site {
  readonly engine: Engine
  readonly api: Api
  readonly database: TestDatabase
  /** A client of Ada's, closed with the server. */
  client(options?: Partial<ClientOptions>): VerbatimClient
  /** Calls a procedure; answers its result. @throws VerbatimError what the server said */
  query<TData>(path: string, input: unknown, user?: string | null): Promise<TData>
  mutate<TData>(path: string, input: unknown, user?: string | null): Promise<TData>
}

export async function openApp({ agents, options = {}, api: apiOptions, database: shared }: AppInput): Promise<App> {
  const database = shared ?? (await openDatabase())
  const engine = openEngine(database, { agents, options })
  const api = createApi({ engine, authenticate, reconnectMs: 5, ...apiOptions })
  const site = await serve(api)
  const clients: VerbatimClient[] = []
  return {
    ...site,
    engine,
    api,
    database,
    client(more) {
      const retry = { baseDelayMs: 5, maxDelayMs: 20 }
      const client = createClient({ url: site.url, token: () => 'ada', retry, ...more })
      clients.push(client)
      return client
    },
    query: async (path, input, user) => await resultOf(await site.fetch(query(path, input), userOf(user))),
    mutate: async (path, input, user) =>
      await resultOf(await site.fetch(`/trpc/${path}`, { ...json(input), ...userOf(user) })),
    async [Symbol.asyncDispose]() {
      for (const client of clients) client.close()
      await site[Symbol.asyncDispose]()
      await engine.close()
      if (shared === undefined) await database[Symbol.asyncDispose]()
    },
  }
}

function userOf(user: string | null | undefined): { user?: string | null } {
  return user === undefined ? {} : { user }
}

const authenticate: ApiInput['authenticate'] = ({ headers }) => {
  const [, tenantId, userId] = /^Bearer (?:(\w+)\/)?(\w+)$/.exec(headers.get('authorization') ?? '') ?? []
  if (userId === undefined) return null
  const scopes = userId === 'operator' ? ['verbatim:operator'] : []
  return tenantId === undefined ? { userId, scopes } : { userId, tenantId, scopes }
}

/** The error that a response holds, in tRPC's shape or the plain one. */
export async function errorOf(response: Response): Promise<VerbatimError> {
  const body = (await response.json()) as { error?: { data?: { verbatim?: unknown } } } // parsed below
  return VerbatimError.fromWire(WireError.parse(body.error?.data?.verbatim ?? body.error))
}

async function resultOf<TData>(response: Response): Promise<TData> {
  if (!response.ok) throw await errorOf(response)
  const { result } = (await response.json()) as { result: { data: TData } } // the procedure's own output
  return result.data
}

/** How many documents each collection holds, apart from the version of the database. */
export async function countDocuments({ client, databaseName }: TestDatabase): Promise<Record<string, number>> {
  const db = client.db(databaseName)
  // The audit is stored some seconds after what it tells, so it may tell of an earlier call.
  const found = await db.listCollections({ name: { $nin: ['schema', 'audit'] } }, { nameOnly: true }).toArray()
  const names = found.map(({ name }) => name).toSorted()
  const counts = await Promise.all(names.map(async (name) => [name, await db.collection(name).countDocuments()]))
  return Object.fromEntries(counts) as Record<string, number> // the pairs just made
}
