/**
 * In: a folder for the data, or none. Out: the primary of a one-node replica set on 127.0.0.1.
 * A kept folder survives kills, restarts and moves to another port. A throw-away folder ends with its server.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { becomePrimary } from './admin.ts'
import { lastPort, releaseFolder, rememberServer } from './data-folder.ts'
import type { Environment } from './fetch-mongod.ts'
import { findMongod } from './find-mongod.ts'
import { freePort } from './free-port.ts'
import { dbPathOf, launchMongod, type LaunchOptions, type MongodOptions, type MongodProcess } from './mongod-process.ts'
import { pollUntil } from './poll-until.ts'

export type StartMongodOptions = MongodOptions &
  Readonly<{
    /** The process environment, to find the server with; see `findMongod`. */
    env: Environment
    /** Keeps the data. Without it a temporary folder holds them, and `stop()` removes it. */
    dataDir?: string
    /** Of 127.0.0.1. @default the folder's last port if that is free, else any free one */
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
    /** Connection string, with the replica set's name. */
    uri: string
    port: number
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
  await mkdir(dbPathOf(folder), { recursive: true })
  const deadline = AbortSignal.timeout(timeoutMs)
  const startSignal = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
  const attempt = { ...options, binary, folder, replicaSet, isThrowAway }
  try {
    const server = await launchOnSomePort(attempt, startSignal)
    await becomePrimary(server.port, replicaSet, startSignal).catch(async (error: unknown) => {
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

type Attempt = Omit<LaunchOptions, 'port'> & Readonly<{ port?: number }>

/** Tries again when a free port is taken a moment later, and while an orphan of the folder ends. */
async function launchOnSomePort(attempt: Attempt, signal: AbortSignal): Promise<MongodProcess> {
  return await pollUntil(
    async () => {
      if (!attempt.isThrowAway) await releaseFolder(attempt.folder, signal)
      const port = attempt.port ?? (await freePort(await lastPort(attempt.folder)))
      const result = await launchMongod({ ...attempt, port }, signal)
      switch (result.status) {
        case 'listening':
          return result.process
        case 'failed':
          throw new Error(result.reason)
        case 'port_taken':
          if (attempt.port === undefined) return undefined
          throw new Error(`Port ${port} is taken; free it, or start MongoDB on another port`)
        case 'folder_taken':
          return undefined
      }
    },
    { signal, everyMs: 250 },
  )
}

function toEmbeddedMongod(server: MongodProcess, { folder, replicaSet, isThrowAway }: Attempt): EmbeddedMongod {
  const stop = async (): Promise<void> => {
    // Throw-away data needs no clean shutdown.
    await server.kill(isThrowAway ? 'SIGKILL' : 'SIGTERM')
    if (isThrowAway) await rm(folder, { recursive: true, force: true })
  }
  return {
    uri: `mongodb://127.0.0.1:${server.port}/?replicaSet=${replicaSet}`,
    port: server.port,
    pid: server.pid,
    dataDir: folder,
    stop,
    kill: (signal) => server.kill(signal),
    [Symbol.asyncDispose]: stop,
  }
}
