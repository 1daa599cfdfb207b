/**
 * In: a folder for the data, or none. Out: the primary of a one-node replica set, which only this user can connect to.
 * A kept folder survives kills, restarts and moves to another address. A throw-away folder ends with its server.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { becomePrimary } from './admin.ts'
import { makePrivate, releaseFolder, rememberServer, removeSocketFolder } from './data-folder.ts'
import type { Environment } from './fetch-mongod.ts'
import { findMongod } from './find-mongod.ts'
import { launchMongod, type LaunchOptions, type MongodOptions, type MongodProcess } from './mongod-process.ts'
import { pollUntil } from './poll-until.ts'
import { isSocket, newSocket, portOf, tcpAddress, uriOf } from './server-address.ts'
import type { ServerAddress } from './server-address.ts'

export type StartMongodOptions = MongodOptions &
  Readonly<{
    /** The process environment, to find the server with; see `findMongod`. */
    env: Environment
    /** Keeps the data. Without it a temporary folder holds them, and `stop()` removes it. */
    dataDir?: string
    /**
     * Listens on this port of 127.0.0.1 instead of a Unix socket; 0 takes any free one. Every user of the machine can then connect:
     * for tests. @default none, but 0 on Windows, where mongod has no sockets
     */
    port?: number
    /** @default 'verbatim' */
    replicaSet?: string
    /** How long the server may take to become primary; a crashed folder has a journal to replay. @default 60_000 */
    timeoutMs?: number
    /** Gives up the start. A started server ends with `stop()` only. */
    signal?: AbortSignal
  }>

/** A running server. Ends with `stop()`, with `await using`, and when the process that started it dies. */
export type EmbeddedMongod = AsyncDisposable &
  Readonly<{
    /** Connection string. */
    uri: string
    /** The socket's path, or `127.0.0.1:<port>`. */
    address: string
    pid: number
    /** Where its data and its `mongod.log` are. */
    dataDir: string
    /** Shuts down cleanly and waits for it; a throw-away folder is removed. Can be called twice. */
    stop(): Promise<void>
    /** For tests: sends a signal, and waits for the end unless it is SIGSTOP or SIGCONT. The folder stays. */
    kill(signal: NodeJS.Signals): Promise<void>
  }>

/**
 * Starts a real mongod as a replica set of one and waits until it is primary.
 * @throws one sentence when there is no server to run, when another process uses `dataDir`, or when `port` is taken.
 * @example
 * await using mongod = await startMongod({ env: process.env })
 * const client = new MongoClient(mongod.uri)
 */
export async function startMongod(options: StartMongodOptions): Promise<EmbeddedMongod> {
  const { env, signal, replicaSet = 'verbatim', timeoutMs = 60_000 } = options
  const binary = await findMongod({ env, ...(signal && { signal }) })
  const isThrowAway = options.dataDir === undefined
  const folder = isThrowAway ? await mkdtemp(join(tmpdir(), 'verbatim-mongod-')) : resolve(options.dataDir)
  await makePrivate(folder)
  const deadline = AbortSignal.timeout(timeoutMs)
  const startSignal = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
  const attempt = { ...options, binary, folder, replicaSet, isThrowAway }
  try {
    const server = await launch(attempt, startSignal)
    await becomePrimary(server.address, replicaSet, startSignal).catch(async (error: unknown) => {
      await server.kill('SIGKILL')
      throw error
    })
    if (!isThrowAway) await rememberServer(folder, server)
    return toEmbeddedMongod(server, attempt)
  } catch (error) {
    if (isThrowAway) await rm(folder, { recursive: true, force: true })
    if (!deadline.aborted) throw error
    throw new Error(`mongod was not ready after ${timeoutMs} ms; see ${join(folder, 'mongod.log')}`, { cause: error })
  }
}

type Attempt = Omit<LaunchOptions, 'address'> & Readonly<{ port?: number }>

/** Tries again when a free port is taken a moment later, and while an orphan of the folder ends. */
async function launch(attempt: Attempt, signal: AbortSignal): Promise<MongodProcess> {
  return await pollUntil(
    async () => {
      if (!attempt.isThrowAway) await releaseFolder(attempt.folder, signal)
      const address = await newAddress(attempt)
      const result = await launchMongod({ ...attempt, address }, signal)
      switch (result.status) {
        case 'listening':
          return result.process
        case 'failed':
          throw new Error(result.reason)
        case 'port_taken':
          if (!attempt.port) return undefined
          throw new Error(`Port ${portOf(address)} is taken; free it, or start MongoDB on another port`)
        case 'folder_taken':
          return undefined
      }
    },
    { signal, everyMs: 250 },
  )
}

async function newAddress({ folder, port }: Attempt): Promise<ServerAddress> {
  if (port === undefined && process.platform !== 'win32') return await newSocket(folder)
  return await tcpAddress(port ?? 0)
}

function toEmbeddedMongod(server: MongodProcess, { folder, replicaSet, isThrowAway }: Attempt): EmbeddedMongod {
  const stop = async (): Promise<void> => {
    // Throw-away data needs no clean shutdown.
    await server.kill(isThrowAway ? 'SIGKILL' : 'SIGTERM')
    if (isThrowAway) await rm(folder, { recursive: true, force: true })
    await removeSocketFolder(server.address, folder)
  }
  return {
    uri: isSocket(server.address) ? uriOf(server.address) : `mongodb://${server.address}/?replicaSet=${replicaSet}`,
    address: server.address,
    pid: server.pid,
    dataDir: folder,
    stop,
    kill: (signal) => server.kill(signal),
    [Symbol.asyncDispose]: stop,
  }
}
