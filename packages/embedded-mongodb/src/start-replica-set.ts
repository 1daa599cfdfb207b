import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoNetworkError } from 'mongodb'
import { withAdmin } from './admin.ts'
import type { Environment } from './environment.ts'
import { findMongod } from './find-mongod.ts'
import { freePort } from './free-port.ts'
import { dbPathOf, launchMongod, type LaunchOptions, type MongodProcess, type EngineOptions } from './mongod-process.ts'
import { pollUntil } from './poll-until.ts'

export type StartReplicaSetOptions = EngineOptions &
  Readonly<{
    env: Environment
    /** @default 3 */
    nodes?: number
    /** How long a silent primary is believed in; MongoDB's own default is 10_000. @default 2000 */
    electionTimeoutMillis?: number
    /** @default 'verbatim' */
    replicaSet?: string
    /** For the whole start. @default 60_000 */
    timeoutMs?: number
    signal?: AbortSignal
  }>

/** One node of the set; it keeps its port and its data over `restart()`. */
export type ReplicaSetMember = Readonly<{
  host: string
  port: number
  dataDir: string
  pid(): number
  isRunning(): boolean
}>

/** A throw-away replica set whose nodes can be ended and brought back, by index. */
export type EmbeddedReplicaSet = AsyncDisposable &
  Readonly<{
    uri: string
    members: readonly ReplicaSetMember[]
    /** Index of the primary a majority agrees on; waits until there is one. */
    primaryIndex(options?: { signal?: AbortSignal }): Promise<number>
    /** Sends a signal (@default SIGKILL) and waits for the end, unless it is SIGSTOP or SIGCONT. */
    kill(index: number, signal?: NodeJS.Signals): Promise<void>
    /** A clean shutdown: a primary steps down first. */
    stopMember(index: number): Promise<void>
    /** Starts an ended member again and waits until it is primary or secondary. */
    restart(index: number): Promise<void>
    /** Ends all of it and removes the data. */
    stop(): Promise<void>
  }>

/** Starts a real replica set on 127.0.0.1 and waits for its primary and its secondaries. For fault tests. */
export async function startReplicaSet(options: StartReplicaSetOptions): Promise<EmbeddedReplicaSet> {
  const { env, signal, nodes = 3, replicaSet = 'verbatim', timeoutMs = 60_000 } = options
  const binary = await findMongod({ env, ...(signal && { signal }) })
  const deadline = AbortSignal.timeout(timeoutMs)
  const waitOptions = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
  const members: Member[] = []
  try {
    for (let index = 0; index < nodes; index += 1) {
      members.push(await Member.start({ ...options, binary, replicaSet, isThrowAway: true }, waitOptions))
    }
    await initiate(members, { replicaSet, electionTimeoutMillis: options.electionTimeoutMillis ?? 2000 })
    await Promise.all(members.map(async (member) => await member.settled(waitOptions)))
    await primaryIndexOf(members, waitOptions)
  } catch (error) {
    await stopAll(members)
    throw error
  }
  return toReplicaSet(members, replicaSet)
}

class Member implements ReplicaSetMember {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly #options: LaunchOptions
  #process: MongodProcess

  constructor(options: LaunchOptions, process: MongodProcess) {
    this.port = options.port
    this.host = `127.0.0.1:${options.port}`
    this.dataDir = options.folder
    this.#options = options
    this.#process = process
  }

  static async start(options: Omit<LaunchOptions, 'port' | 'folder'>, signal: AbortSignal): Promise<Member> {
    const folder = await mkdtemp(join(tmpdir(), 'verbatim-mongod-'))
    await mkdir(dbPathOf(folder))
    const launch = { ...options, folder, port: await freePort() }
    return new Member(launch, await listening(launch, signal))
  }

  pid(): number {
    return this.#process.pid
  }

  isRunning(): boolean {
    return this.#process.isRunning
  }

  async kill(signal: NodeJS.Signals): Promise<void> {
    await this.#process.kill(signal)
  }

  async restart(signal: AbortSignal): Promise<void> {
    if (this.isRunning()) throw new Error(`Member ${this.host} is still running`)
    this.#process = await listening(this.#options, signal)
    await this.settled(signal)
  }

  /** Waits until the member is primary or secondary. */
  async settled(signal: AbortSignal): Promise<void> {
    await withAdmin(this.port, async (admin) => {
      await pollUntil(
        async () => {
          // One that changes its state closes its connections, also those that only ask for it.
          const hello = await admin.command({ hello: 1 }).catch(ignoreClosed)
          return hello?.['isWritablePrimary'] === true || hello?.['secondary'] === true ? true : undefined
        },
        { signal },
      )
    })
  }

  async isPrimary(): Promise<boolean> {
    if (!this.isRunning()) return false
    // A member that is paused or going down does not answer: it is no primary to us.
    return await withAdmin(this.port, async (admin) => await admin.command({ hello: 1 })).then(
      (hello) => hello['isWritablePrimary'] === true,
      () => false,
    )
  }
}

function ignoreClosed(error: unknown): undefined {
  if (!(error instanceof MongoNetworkError)) throw error
}

async function listening(options: LaunchOptions, signal: AbortSignal): Promise<MongodProcess> {
  const result = await launchMongod(options, signal)
  if (result.status === 'listening') return result.process
  throw new Error(
    result.status === 'failed' ? result.reason : `mongod could not start (${result.status}) in ${options.folder}`,
  )
}

async function initiate(
  members: readonly Member[],
  { replicaSet, electionTimeoutMillis }: { replicaSet: string; electionTimeoutMillis: number },
): Promise<void> {
  const first = members[0]
  if (first === undefined) throw new Error('A replica set has at least one node')
  const heartbeatIntervalMillis = Math.min(2000, Math.ceil(electionTimeoutMillis / 4))
  const config = {
    _id: replicaSet,
    members: members.map(({ host }, _id) => ({ _id, host })),
    settings: { electionTimeoutMillis, heartbeatIntervalMillis },
  }
  await withAdmin(first.port, async (admin) => await admin.command({ replSetInitiate: config }))
}

async function primaryIndexOf(members: readonly Member[], signal: AbortSignal): Promise<number> {
  return await pollUntil(
    async () => {
      const answers = await Promise.all(members.map(async (member) => await member.isPrimary()))
      // Two for a moment: the old one has not yet heard of the new one.
      const primaries = answers.flatMap((isPrimary, index) => (isPrimary ? [index] : []))
      return primaries.length === 1 ? primaries[0] : undefined
    },
    { signal },
  )
}

function toReplicaSet(members: readonly Member[], replicaSet: string): EmbeddedReplicaSet {
  const at = (index: number): Member => {
    const member = members[index]
    if (member === undefined) throw new Error(`There is no member ${index}`)
    return member
  }
  const stop = async (): Promise<void> => {
    await stopAll(members)
  }
  return {
    uri: `mongodb://${members.map(({ host }) => host).join(',')}/?replicaSet=${replicaSet}`,
    members,
    primaryIndex: async ({ signal } = {}) => await primaryIndexOf(members, signal ?? AbortSignal.timeout(60_000)),
    kill: async (index, signal = 'SIGKILL') => {
      await at(index).kill(signal)
    },
    stopMember: async (index) => {
      await at(index).kill('SIGTERM')
    },
    restart: async (index) => {
      await at(index).restart(AbortSignal.timeout(60_000))
    },
    stop,
    [Symbol.asyncDispose]: stop,
  }
}

async function stopAll(members: readonly Member[]): Promise<void> {
  await Promise.all(
    members.map(async (member) => {
      await member.kill('SIGKILL')
      await rm(member.dataDir, { recursive: true, force: true })
    }),
  )
}
