/**
 * Starts the server's parts, each after the ones it needs: port, database, model, engine, API, web app. The port comes first,
 * so that a taken one is an error at once, and a probe receives 503 while the rest starts.
 */
import { createApi } from '@verbatim/api'
import { isVerbatimError, VerbatimError } from '@verbatim/core'
import type { Logger } from '@verbatim/core/server'
import { SessionManagerFactory } from '@verbatim/core/server'
import type { RequestListener } from 'node:http'
import { join } from 'node:path'
import { createAuthenticate } from './authenticate.ts'
import { chooseAgent } from './choose-agent.ts'
import type { Environment } from './env.ts'
import { closeServer, listen } from './listen.ts'
import { openDatabase } from './open-database.ts'
import { openEncryption } from './open-encryption.ts'
import { openPeerHints } from './open-peer-hints.ts'
import type { OpenDatabase, OpenDatabaseOptions } from './open-database.ts'
import { createRoutes } from './routes.ts'
import { createWebHandler } from './serve-web.ts'
import type { WebConfig } from './serve-web.ts'

export interface StartServerOptions extends OpenDatabaseOptions {
  readonly logger: Logger
}

/** A server that takes requests. */
export interface RunningServer {
  readonly url: string
  readonly config: WebConfig
  /** Where the data is, for a person to read. */
  readonly place: string
  /** Loads what the first answer needs. */
  warmUp(): Promise<void>
  /** Lets answers end within `VERBATIM_DRAIN_MS`, sends followers elsewhere, and closes everything. */
  stop(): Promise<void>
}

/** The build of apps/web, seen from src/ as from dist/. */
const webFolder = join(import.meta.dirname, '../../web/dist')

/**
 * A MongoDB of one node holds no elections that a lease would have to outlast, so a lost run is taken over within 10 s. The torture
 * runs with these ("patient").
 */
const ownDatabaseLeases = { heartbeatMs: 2_000, selfFenceMs: 8_000, leaseMs: 9_000, recoveryMs: 500 }

/** @throws one sentence when a part cannot start; the parts that have started are closed */
export async function startServer(env: Environment, options: StartServerOptions): Promise<RunningServer> {
  await using started = new AsyncDisposableStack()
  let handler: RequestListener = (_request, response) => void response.writeHead(503, { 'retry-after': '1' }).end()
  const { server, url } = await listen((...exchange) => handler(...exchange), { host: env.HOST, port: env.PORT })
  started.defer(async () => await closeServer(server))
  const encryption = await openEncryption(env, options)
  const database = await openDatabase(env, options)
  started.defer(async () => await database.close())
  const chosen = chooseAgent(env)
  started.defer(async () => await chosen.close())
  const peerHints = await openPeerHints(env)
  const factory = SessionManagerFactory.connect({
    uri: database.uri,
    databaseName: env.VERBATIM_DATABASE,
    encryption,
    changeStreams: env.VERBATIM_CHANGE_STREAMS,
    peerHints,
    agents: [chosen.agent],
    logger: options.logger,
    options: {
      ...(database.isOwn && ownDatabaseLeases),
      ...(env.VERBATIM_LIMITS && { limits: env.VERBATIM_LIMITS }),
      ...(env.VERBATIM_BUDGETS && { budgets: env.VERBATIM_BUDGETS }),
    },
  })
  const { engine } = started.use(await factory.catch((error: unknown) => throwUnusable(error, database)))
  const authenticate = createAuthenticate(env)
  const origins = env.VERBATIM_ORIGINS
  const cors = origins === undefined ? undefined : { origins: [...origins] }
  const api = createApi({ engine, authenticate, logger: options.logger, cors })
  started.defer(async () => await api.close())
  const { model, isDemo } = chosen
  const needsToken = env.VERBATIM_TOKENS !== undefined
  const config = { model, isDemo, switchCommand: isDemo ? 'ANTHROPIC_API_KEY=<your key> npm start' : null, needsToken }
  const web = await createWebHandler(webFolder, config)
  handler = createRoutes({ api: api.nodeHandler, web, isLocalOnly: !needsToken, origins })
  options.signal.throwIfAborted()
  const owned = started.move()
  return {
    url,
    config,
    place: database.place,
    warmUp: () => chosen.warmUp(),
    async stop() {
      await using _owned = owned
      // The server still takes requests: a client may follow or cancel an ending run, and a probe sees "not ready".
      await engine.drain({ graceMs: env.VERBATIM_DRAIN_MS })
      await closeServer(server)
    },
  }
}

/** The engine's error is written for callers; the reader of this one can mend the database. */
function throwUnusable(error: unknown, { place }: OpenDatabase): never {
  if (!isVerbatimError(error) || error.code !== 'UNAVAILABLE') throw error
  throw new VerbatimError('UNAVAILABLE', `No MongoDB answers for ${place}; start it, or correct MONGODB_URI`, {
    cause: error,
  })
}
