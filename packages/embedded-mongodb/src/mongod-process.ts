import { spawn, type ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { open, readFile, rename, stat, type FileHandle } from 'node:fs/promises'
import { join } from 'node:path'
import { dbPathServedAt } from './admin.ts'
import { pollUntil } from './poll-until.ts'
import { isSocket, portOf } from './server-address.ts'
import type { ServerAddress } from './server-address.ts'
import { startWatchdog } from './watchdog.ts'

/** Options of every start. */
export type MongodOptions = Readonly<{
  /** WiredTiger's cache. @default 0.25 (MongoDB's own default takes half of the memory) */
  cacheSizeGB?: number
  /** `--setParameter name=value`, for example `{ enableTestCommands: 1 }`. */
  setParameters?: Readonly<Record<string, string | number | boolean>>
  /** Upper bound of the replication log. @default 256 */
  oplogSizeMB?: number
  /** Between two flushes of the journal that no write has asked for; what drops a database waits for one. @default MongoDB's own, 100 */
  journalIntervalMs?: number
}>

export type LaunchOptions = MongodOptions &
  Readonly<{ binary: string; folder: string; address: ServerAddress; replicaSet: string; isThrowAway: boolean }>

/** How a launch ended: a server that accepts connections, or why there is none. */
export type LaunchResult =
  | Readonly<{ status: 'listening'; process: MongodProcess }>
  | Readonly<{ status: 'port_taken' | 'folder_taken' }>
  | Readonly<{ status: 'failed'; reason: string }>

/** One running mongod. Its watchdog ends it when this process dies. */
export class MongodProcess {
  readonly pid: number
  readonly address: ServerAddress
  readonly #child: ChildProcess
  readonly #exited: Promise<void>

  constructor(child: ChildProcess, { address, exited }: { address: ServerAddress; exited: Promise<void> }) {
    if (child.pid === undefined) throw new Error('mongod did not start')
    this.pid = child.pid
    this.address = address
    this.#child = child
    this.#exited = exited
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null
  }

  /** Sends the signal, and waits for the end unless it only pauses or resumes. */
  async kill(signal: NodeJS.Signals): Promise<void> {
    if (!this.isRunning) return
    this.#child.kill(signal)
    if (signal === 'SIGSTOP' || signal === 'SIGCONT') return
    this.#child.ref()
    await this.#exited
  }
}

/** Starts mongod and waits until it accepts connections or has ended. */
export async function launchMongod(options: LaunchOptions, signal: AbortSignal): Promise<LaunchResult> {
  const log = await openLog(logOf(options.folder))
  const stdio = ['ignore', log.file.fd, log.file.fd] as const
  // Its own process group: Ctrl-C reaches only the program, which stops its server last.
  const child = spawn(options.binary, argumentsOf(options), { stdio: [...stdio], detached: true })
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()))
  try {
    await once(child, 'spawn', { signal })
    const server = new MongodProcess(child, { address: options.address, exited })
    void exited.then(startWatchdog(server.pid, options.isThrowAway ? options.folder : undefined))
    const isUp = await pollUntil(async () => await isUpOrEnded(server, dbPathOf(options.folder)), { signal })
    child.unref()
    return isUp ? { status: 'listening', process: server } : await whyEnded(options.folder, log.startsAt)
  } catch (error) {
    child.kill('SIGKILL')
    throw error
  } finally {
    await log.file.close()
  }
}

/** Another server may listen at the address; the folder shows which one answers. */
async function isUpOrEnded(server: MongodProcess, dbPath: string): Promise<boolean | undefined> {
  if (!server.isRunning) return false
  return (await dbPathServedAt(server.address)) === dbPath ? true : undefined
}

/** Reads the cause from what mongod logged since `startsAt` (bytes). */
async function whyEnded(folder: string, startsAt: number): Promise<LaunchResult> {
  const text = (await readFile(logOf(folder))).subarray(startsAt).toString('utf8')
  if (text.includes('DBPathInUse')) return { status: 'folder_taken' }
  if (text.includes('SocketException') || text.includes('Address already in use')) return { status: 'port_taken' }
  const lines = text.trim().split('\n')
  const telling = lines.findLast((line) => /"s":"[EF]"/.test(line)) ?? lines.at(-1) ?? ''
  return { status: 'failed', reason: `mongod ended at its start: ${telling.slice(0, 600)} (see ${logOf(folder)})` }
}

/** The server's data inside its folder. */
export function dbPathOf(folder: string): string {
  return join(folder, 'db')
}

function logOf(folder: string): string {
  return join(folder, 'mongod.log')
}

/** Keeps one old log. */
async function openLog(path: string): Promise<{ file: FileHandle; startsAt: number }> {
  const maxBytes = 16 * 1024 * 1024
  const size = await stat(path).then(
    (found) => found.size,
    () => 0,
  )
  if (size > maxBytes) await rename(path, `${path}.1`)
  return { file: await open(path, 'a', 0o600), startsAt: size > maxBytes ? 0 : size }
}

function argumentsOf(options: LaunchOptions): string[] {
  const { address } = options
  const listen = isSocket(address) ? { bind_ip: address } : { bind_ip: '127.0.0.1', port: portOf(address) }
  const flags = {
    dbpath: dbPathOf(options.folder),
    ...listen,
    replSet: options.replicaSet,
    oplogSize: options.oplogSizeMB ?? 256,
    wiredTigerCacheSizeGB: options.cacheSizeGB ?? 0.25,
    ...(options.journalIntervalMs === undefined ? {} : { journalCommitInterval: options.journalIntervalMs }),
  }
  const parameters = { diagnosticDataCollectionEnabled: false, ...options.setParameters }
  return [
    '--quiet',
    // Not the socket that every user finds under /tmp.
    ...(process.platform === 'win32' ? [] : ['--nounixsocket']),
    ...Object.entries(flags).flatMap(([name, value]) => [`--${name}`, String(value)]),
    ...Object.entries(parameters).flatMap(([name, value]) => ['--setParameter', `${name}=${String(value)}`]),
  ]
}
