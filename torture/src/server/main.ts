/**
 * One real server process: engine, API and node:http. It loads its code first and then waits for its configuration, so that it
 * can replace a killed process at once. It ends with the harness.
 */
import { createServer } from 'node:http'
import { claude } from '@verbatim/core/claude'
import { createAppendClient, createMongoClient, createMongoStorage, createWatchClient } from '@verbatim/core/mongodb'
import { listenForPeers } from '@verbatim/core/peer-hints'
import { createEngine, systemClock } from '@verbatim/core/server'
import type { Clock, LogFields, Logger } from '@verbatim/core/server'
import { aiSdkEndpoints } from '@verbatim/ai-sdk/server'
import { createApi } from '@verbatim/api'
import type { ApiInput } from '@verbatim/api'
import { hostileToken } from '../hostile-token.ts'
import { crashAt } from './crash-at.ts'
import { withInlineAgents } from './inline-agent.ts'
import { continuingAgent, seededAgent } from './seeded-agent.ts'
import type { FromServer, ServerConfig, ToServer } from './server-config.ts'
import { createTools, slowToolTimeoutMs, toolTimeoutMs } from './tools.ts'

let graceMs = 0

process.on('disconnect', () => process.exit(1))
process.on('message', (message: ToServer) => {
  if (message.type === 'block') block(message.ms)
  else if (message.type === 'grace') graceMs = message.ms
  else start(message.config).catch(die)
})
process.on('unhandledRejection', die)
process.on('uncaughtException', die)
report({ type: 'warm' })

async function start(config: ServerConfig): Promise<void> {
  graceMs = config.graceMs
  const clock = skewedClock(config.clockSkewMs)
  const client = createMongoClient(config.mongoUri)
  const watchClient = createWatchClient(config.mongoUri)
  const appendClient = createAppendClient(config.mongoUri)
  const storage = createMongoStorage({ client, watchClient, appendClient, databaseName: config.databaseName, clock })
  await storage.migrate()
  const { archiveDelayMs, leases } = config
  const provider = { apiKey: 'none', baseURL: config.providerUrl, maxRetries: 2 }
  const tools = createTools(client.db(config.databaseName))
  const withTools = { ...provider, tools, onCrash: 'continue' } as const
  const tooling = claude({ ...withTools, id: 'tooling', toolTimeoutMs })
  const slowTooling = claude({ ...withTools, id: 'slow-tooling', toolTimeoutMs: slowToolTimeoutMs })
  const agents = [seededAgent, continuingAgent, claude(provider), tooling, slowTooling]
  const options = { ...leases, archiveDelayMs, startWaitMs: 1_500, cancelWaitMs: 2_000 }
  const polling = config.withoutChangeStreams ? { logWatcher: undefined, sessionWatcher: undefined } : {}
  const { peerSecret: secret } = config
  const peerHints = secret === null ? undefined : await listenForPeers({ secret, listen: '127.0.0.1:0' })
  const ports = { ...crashAt(storage, config.crashAt), ...polling, peerHints }
  const engine = createEngine({ ...ports, agents, clock, logger }, options)
  const authenticate: ApiInput['authenticate'] = ({ headers }) => {
    return { userId: headers.get('authorization') === `Bearer ${hostileToken}` ? 'hostile' : 'torture' }
  }
  const api = createApi({
    engine: withInlineAgents(engine),
    authenticate,
    endpoints: aiSdkEndpoints(),
    logger,
    heartbeatMs: 300,
    reconnectMs: 40,
    stalledReaderTimeoutMs: 4_000,
  })
  const server = createServer(api.nodeHandler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  process.once('SIGTERM', () => {
    const stop = async () => {
      await engine.drain({ graceMs })
      await api.close()
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
      await engine.close()
      await Promise.all([client.close(), watchClient.close(), appendClient.close()])
      process.exit(0)
    }
    stop().catch(die)
  })
  // Last, because the harness may send SIGTERM at once.
  const address = server.address()
  report({ type: 'listening', port: typeof address === 'object' && address !== null ? address.port : 0 })
}

const logger: Logger = {
  info() {},
  warn: (fields, message) => log('warn', fields, message),
  error: (fields, message) => log('error', fields, message),
}

function log(level: 'warn' | 'error', fields: LogFields, message: string): void {
  report({ type: 'log', level, text: `${message} ${JSON.stringify(fields)}` })
}

function report(message: FromServer): void {
  if (process.connected) process.send?.(message)
}

function skewedClock(skewMs: number): Clock {
  return {
    now: () => new Date(systemClock.now().getTime() + skewMs),
    monotonicMs: () => systemClock.monotonicMs(),
  }
}

function block(ms: number): void {
  const until = performance.now() + ms
  while (performance.now() < until);
}

function die(error: unknown): void {
  report({ type: 'log', level: 'error', text: `died: ${error instanceof Error ? error.stack : String(error)}` })
  setImmediate(() => process.exit(2))
}
