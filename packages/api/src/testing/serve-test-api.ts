import type { LogFields, Engine, EngineOptionsInput } from '@verbatim/core/server'
import { openTestEngine } from '@verbatim/core/testing'
import type { TestEngine } from '@verbatim/core/testing'
import { json, serve } from '@verbatim/test-kit/http'
import type { Site } from '@verbatim/test-kit/http'
import { inject } from 'vitest'
import { createApi } from '../create-api.ts'
import type { Api, ApiInput } from '../create-api.ts'
import { promptedAgent } from './prompted-agent.ts'
import type { PromptedAgent } from './prompted-agent.ts'

interface LoggedLine extends LogFields {
  readonly message: string
}

/**
 * The real engine on a real MongoDB and a real socket. Bearer tokens are user ids, or `tenant/user`; `ops` may read metrics, `operator`
 * sees to the users of its tenant, and `root` to all.
 */
export interface TestApi extends Site {
  readonly engine: Engine
  readonly database: TestEngine['database']
  readonly api: Api
  readonly agent: PromptedAgent
  readonly logged: LoggedLine[]
  /** Starts a run of `alice` and returns its id. */
  startRun(message: string, sessionId?: string): Promise<string>
}

export async function openTestApi({
  engineOptions = {},
  replaceParts = () => ({}),
  ...input
}: Partial<ApiInput> & {
  engineOptions?: EngineOptionsInput
  /** Parts to put in the place of the engine's own. */
  replaceParts?: (engine: Engine) => Partial<Engine>
} = {}): Promise<TestApi> {
  const agent = promptedAgent()
  const { logged, logger } = recordingLogger()
  const options = { startWaitMs: 300, pollMs: 100, auditStoreMs: 100, ...engineOptions }
  const testEngine = await openTestEngine({ uri: inject('mongoUri'), agents: [agent], logger, options })
  const parts = new Map(Object.entries(replaceParts(testEngine.engine)))
  const engine = new Proxy(testEngine.engine, {
    get: (own, name) => parts.get(String(name)) ?? (Reflect.get(own, name, own) as unknown),
  })
  const api = createApi({ engine, logger, authenticate: authenticateByName, ...input })
  const site = await serve(api, { user: 'alice' })
  return {
    ...site,
    engine,
    database: testEngine.database,
    api,
    agent,
    logged,
    async startRun(message, sessionId = `s-${crypto.randomUUID()}`) {
      const runId = crypto.randomUUID()
      const response = await site.fetch('/trpc/runs.start', json({ runId, sessionId, message }))
      if (response.status !== 200) throw new Error(await response.text())
      return runId
    },
    async [Symbol.asyncDispose]() {
      agent.release()
      await site[Symbol.asyncDispose]()
      await testEngine[Symbol.asyncDispose]()
    },
  }
}

const scopesOf: Readonly<Record<string, string[]>> = {
  ops: ['verbatim:metrics'],
  operator: ['verbatim:operator'],
  root: ['verbatim:operator:all'],
}

export const authenticateByName: ApiInput['authenticate'] = ({ headers }) => {
  const [, tenantId, userId] = /^Bearer (?:(\S+)\/)?(\S+)$/.exec(headers.get('authorization') ?? '') ?? []
  if (userId === undefined) return null
  return { userId, scopes: scopesOf[userId] ?? [], ...(tenantId === undefined ? {} : { tenantId }) }
}

function recordingLogger() {
  const logged: LoggedLine[] = []
  const log = (fields: LogFields, message: string) => void logged.push({ ...fields, message })
  return { logged, logger: { info: log, warn: log, error: log } }
}
