/** The engine on MongoDB for programs that embed it: one connection pool, any number of session managers. */
import type { MongoClient } from 'mongodb'
import { VerbatimError } from './contract/errors.ts'
import { SessionId } from './contract/identifiers.ts'
import { ownerOf, Principal } from './contract/principal.ts'
import { createAppendClient, createMongoClient, createWatchClient, tunedSettingsOf } from './mongodb/driver/connect.ts'
import { createMongoStorage } from './mongodb/storage.ts'
import type { MongoStorage } from './mongodb/storage.ts'
import type { Agent } from './ports/agent.ts'
import type { AuditListener } from './ports/audit.ts'
import type { ContentEncryption } from './ports/key-service.ts'
import type { Logger } from './ports/logger.ts'
import type { PeerHints } from './ports/run-hints.ts'
import type { Telemetry } from './ports/telemetry.ts'
import { createEngine } from './engine/create-engine.ts'
import type { Engine } from './engine/engine.ts'
import type { EngineOptionsInput } from './ports/engine-options.ts'
import { SessionManager } from './sessions/session-manager.ts'
import { systemClock } from './engine/system-clock.ts'

/** Where the data is and which agents answer. Give `uri` for a connection of the factory's own, or `client` to share yours. */
export interface SessionManagerFactoryOptions {
  readonly uri?: string
  /** A connected client that the caller owns: `close()` leaves it open. */
  readonly client?: MongoClient
  /** @default 'verbatim' */
  readonly databaseName?: string
  /**
   * The agents that can answer; the first is the default.
   *
   * @default none: each `send` brings its own, or the program streams itself and appends
   */
  readonly agents?: readonly Agent[]
  readonly logger?: Logger
  /** Receives each row of the audit after it was stored, see `EnginePorts`. */
  readonly onAudit?: AuditListener
  /** Reports runs, model calls and tools: `openTelemetry()` of `@verbatim/core/opentelemetry`. @default nothing is reported */
  readonly telemetry?: Telemetry | undefined
  readonly options?: EngineOptionsInput
  /** Seals content with a key of its owner before it is stored. @default content is stored in clear */
  readonly encryption?: ContentEncryption | undefined
  /**
   * How followers learn of what other processes write: with `off` they poll. @default 'auto': by change streams, and where the database
   * gives none (small tiers of Atlas, a user without the privilege) by polls
   */
  readonly changeStreams?: 'auto' | 'off' | undefined
  /**
   * Hints at runs that the processes of a large fleet give each other, in place of the change stream of the log: `listenForPeers` of
   * `@verbatim/core/peer-hints`. The factory closes it, also when it cannot connect. @default none
   */
  readonly peerHints?: PeerHints | undefined
}

/** Which session, and whose; a program with one user omits `principal`. */
export interface SessionManagerInput {
  readonly sessionId: string
  readonly principal?: { readonly userId: string; readonly tenantId?: string }
}

/** The principal of programs that have one user only. */
const localPrincipal = { userId: 'local' }

/** Makes session managers over one engine and one connection pool. Close it once, at the program's end. */
export class SessionManagerFactory implements AsyncDisposable {
  /** The engine, for what a session manager does not offer, and for `createApi`. */
  readonly engine: Engine
  readonly #closeClient: () => Promise<void>
  #closing: Promise<void> | undefined

  private constructor(engine: Engine, closeClient: () => Promise<void>) {
    this.engine = engine
    this.#closeClient = closeClient
  }

  /**
   * Connects, makes missing collections and indexes, and starts the engine.
   *
   * @throws VerbatimError `INVALID_CONFIGURATION`, `UNSUPPORTED_DEPLOYMENT`, `UNAVAILABLE`
   */
  static async connect(options: SessionManagerFactoryOptions): Promise<SessionManagerFactory> {
    const { client, watchClient, appendClient, close } = connectionOf(options)
    try {
      const storage = createMongoStorage({
        client,
        watchClient,
        appendClient,
        databaseName: options.databaseName ?? 'verbatim',
        clock: systemClock,
        encryption: options.encryption,
      })
      await storage.migrate()
      if (options.uri !== undefined) {
        options.logger?.info(tunedSettingsOf(options.uri), 'MongoDB driver settings that the URI leaves to Verbatim')
      }
      const { agents = [], logger, onAudit, telemetry, peerHints } = options
      const hints = (await hasHints(storage, options)) ? {} : { logWatcher: undefined, sessionWatcher: undefined }
      const ports = { ...storage, ...hints, peerHints, agents, logger, onAudit, telemetry }
      return new SessionManagerFactory(createEngine(ports, options.options), close)
    } catch (error) {
      await options.peerHints?.close()
      await close()
      throw error
    }
  }

  /** The manager of one session; needs no request to the database. @throws VerbatimError `INVALID_INPUT` */
  createSessionManager({ sessionId, principal = localPrincipal }: SessionManagerInput): SessionManager {
    const release = () => Promise.resolve() // the factory owns everything a manager uses
    return new SessionManager({ engine: this.engine, release, ...identify(sessionId, principal) })
  }

  /** Stops the engine and closes the connection, if it is the factory's own. Safe to call twice. */
  close(): Promise<void> {
    this.#closing ??= this.#release()
    return this.#closing
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #release(): Promise<void> {
    try {
      await this.engine.close()
    } finally {
      await this.#closeClient()
    }
  }
}

/**
 * The manager of one session with an engine and connection of its own; `close()` ends both. A program with more than one
 * session makes a {@link SessionManagerFactory} instead.
 *
 * @throws VerbatimError as `SessionManagerFactory.connect`, and `INVALID_INPUT`
 */
export async function createSessionManager(
  options: SessionManagerFactoryOptions & SessionManagerInput,
): Promise<SessionManager> {
  const { sessionId, principal = localPrincipal, ...factoryOptions } = options
  const identity = identify(sessionId, principal)
  const factory = await SessionManagerFactory.connect(factoryOptions)
  return new SessionManager({ engine: factory.engine, release: () => factory.close(), ...identity })
}

let globalFactory: Promise<SessionManagerFactory> | undefined

/**
 * Makes the program's one factory; call it once at start.
 *
 * @throws VerbatimError `INVALID_CONFIGURATION` when there is one already; otherwise as `SessionManagerFactory.connect`
 */
export async function initializeGlobalFactory(options: SessionManagerFactoryOptions): Promise<SessionManagerFactory> {
  if (globalFactory !== undefined) {
    throw new VerbatimError(
      'INVALID_CONFIGURATION',
      'The global factory exists already; close it before you make another',
    )
  }
  const connecting = SessionManagerFactory.connect(options)
  globalFactory = connecting
  try {
    return await connecting
  } catch (error) {
    if (globalFactory === connecting) globalFactory = undefined
    throw error
  }
}

/** The program's factory. @throws VerbatimError `INVALID_CONFIGURATION` before `initializeGlobalFactory` */
export async function getGlobalFactory(): Promise<SessionManagerFactory> {
  if (globalFactory === undefined) {
    throw new VerbatimError('INVALID_CONFIGURATION', 'There is no global factory; call initializeGlobalFactory first')
  }
  return await globalFactory
}

/** Closes the program's factory; does nothing when there is none. */
export async function closeGlobalFactory(): Promise<void> {
  const closing = globalFactory
  globalFactory = undefined
  await (await closing)?.close()
}

/** Says at start how followers learn of what other processes write. */
async function hasHints(
  storage: MongoStorage,
  { changeStreams = 'auto', peerHints, logger }: SessionManagerFactoryOptions,
): Promise<boolean> {
  const who = peerHints === undefined ? 'followers of runs of other processes' : 'followers of sessions'
  if (changeStreams === 'off') {
    logger?.info({}, `Change streams are off: ${who} poll`)
    return false
  }
  // A database that does not answer now may have them: the engine finds out when it opens one.
  const areThere = await storage.hasChangeStreams().catch(() => true)
  if (!areThere) logger?.warn({}, `The database gives no change streams: ${who} poll`)
  return areThere
}

interface Connection {
  readonly client: MongoClient
  readonly watchClient: MongoClient
  readonly appendClient: MongoClient
  readonly close: () => Promise<void>
}

function connectionOf({ uri, client }: SessionManagerFactoryOptions): Connection {
  if (client !== undefined && uri === undefined) {
    return { client, watchClient: client, appendClient: client, close: () => Promise.resolve() }
  }
  if (uri === undefined || client !== undefined) {
    throw new VerbatimError('INVALID_CONFIGURATION', 'Give either `uri` or `client`')
  }
  const owned = createMongoClient(uri)
  const watchClient = createWatchClient(uri)
  const appendClient = createAppendClient(uri)
  return {
    client: owned,
    watchClient,
    appendClient,
    async close() {
      await Promise.all([owned.close(), watchClient.close(), appendClient.close()])
    },
  }
}

function identify(sessionId: string, principal: { userId: string; tenantId?: string }) {
  const id = SessionId.safeParse(sessionId)
  if (!id.success) {
    throw new VerbatimError('INVALID_INPUT', `sessionId: ${id.error.issues[0]?.message ?? 'malformed'}`, {
      data: { field: 'sessionId' },
    })
  }
  const who = Principal.safeParse(principal)
  if (!who.success) throw new VerbatimError('INVALID_INPUT', 'principal: malformed', { data: { field: 'principal' } })
  return { sessionId: id.data, owner: ownerOf(who.data) }
}
