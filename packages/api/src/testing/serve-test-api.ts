import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { LogFields, Engine, EngineOptionsInput } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import type { TestEngine } from '@verbatim/core/testing'
import { inject } from 'vitest'
import { createApi } from '../create-api.ts'
import type { Api, ApiInput } from '../create-api.ts'
import { promptedAgent } from './prompted-agent.ts'
import type { PromptedAgent } from './prompted-agent.ts'

interface LoggedLine extends LogFields {
  readonly message: string
}

/** The real engine on the real MongoDB behind a real socket. Bearer tokens are user ids; `ops` may read metrics. */
export interface TestApi extends AsyncDisposable {
  readonly url: string
  readonly engine: Engine
  readonly database: TestEngine['database']
  readonly api: Api
  readonly agent: PromptedAgent
  readonly server: Server
  readonly logged: LoggedLine[]
  /** A call as `user`, or as nobody when null. */
  fetch(path: string, init?: RequestInit & { user?: string | null }): Promise<Response>
  /** Starts a run of `alice` and answers its id. */
  startRun(message: string, sessionId?: string): Promise<string>
}

export async function openTestApi({
  engineOptions = {},
  wrapEngine = (engine) => engine,
  ...input
}: Partial<ApiInput> & {
  engineOptions?: EngineOptionsInput
  wrapEngine?: (engine: Engine) => Engine
} = {}): Promise<TestApi> {
  const agent = promptedAgent()
  const { logged, logger } = recordingLogger()
  const options = { startWaitMs: 300, pollMs: 100, ...engineOptions }
  const testEngine = await openTestEngine({ uri: inject('mongoUri'), agents: [agent], logger, options })
  const engine = wrapEngine(testEngine.engine)
  const api = createApi({ engine, logger, authenticate: authenticateByName, ...input })
  const { server, url } = await listen(api.nodeHandler)
  const call: TestApi['fetch'] = async (path, { user = 'alice', ...init } = {}) => {
    const headers = new Headers(init.headers)
    if (user !== null) headers.set('authorization', `Bearer ${user}`)
    return await fetch(url + path, { ...init, headers })
  }
  return {
    url,
    engine,
    database: testEngine.database,
    api,
    agent,
    server,
    logged,
    fetch: call,
    async startRun(message, sessionId = `s-${crypto.randomUUID()}`) {
      const runId = crypto.randomUUID()
      const response = await call('/trpc/runs.start', json({ runId, sessionId, message }))
      if (response.status !== 200) throw new Error(await response.text())
      return runId
    },
    async [Symbol.asyncDispose]() {
      agent.release()
      await api.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await testEngine[Symbol.asyncDispose]()
    },
  }
}

export const authenticateByName: ApiInput['authenticate'] = ({ headers }) => {
  const userId = /^Bearer (\S+)$/.exec(headers.get('authorization') ?? '')?.[1]
  return userId === undefined ? null : { userId, scopes: userId === 'ops' ? ['verbatim:metrics'] : [] }
}

export async function listen(handler: RequestListener): Promise<{ server: Server; url: string }> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // a TCP server has one
  return { server, url: `http://127.0.0.1:${port}` }
}

/** A POST with a JSON body. */
export function json(body: unknown, headers: Record<string, string> = {}) {
  return { method: 'POST', headers: { 'content-type': 'application/json', ...headers }, body: JSON.stringify(body) }
}

/** A tRPC query's path. */
export function query(path: string, input: unknown): string {
  return `/trpc/${path}?input=${encodeURIComponent(JSON.stringify(input))}`
}

function recordingLogger() {
  const logged: LoggedLine[] = []
  const log = (fields: LogFields, message: string) => void logged.push({ ...fields, message })
  return { logged, logger: { info: log, warn: log, error: log } }
}
