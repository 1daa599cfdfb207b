import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { MongoNetworkError } from 'mongodb'
import { withAdmin } from './admin.ts'
import type { Environment } from './fetch-mongod.ts'
import { findMongod } from './find-mongod.ts'
import { dbPathOf, launchMongod, type LaunchOptions, type MongodOptions, type MongodProcess } from './mongod-process.ts'
import { pollUntil } from './poll-until.ts'
import { portOf, tcpAddress } from './server-address.ts'

export type StartReplicaSetOptions = MongodOptions &
  Readonly<{
    env: Environment
    /** @default 3 */
    nodes?: number
    /** After this silence of the primary the others elect a new one; MongoDB's own default is 10_000. @default 2000 */
    electionTimeoutMillis?: number
    /** @default 'verbatim' */
    replicaSet?: string
    /** For the whole start. @default 60_000 */
    timeoutMs?: number
    signal?: AbortSignal
  }>

/**
 * Starts a real replica set on 127.0.0.1 and waits for its primary and its secondaries. For fault tests: every user of the machine can
 * connect to it.
 */
export async function startReplicaSet(options: StartReplicaSetOptions): Promise<EmbeddedReplicaSet> {
  const { env, signal, nodes = 3, replicaSet = 'verbatim', timeoutMs = 60_000, electionTimeoutMillis = 2000 } = options
  const binary = await findMongod({ env, ...(signal && { signal }) })
  const deadline = AbortSignal.timeout(timeoutMs)
  const startSignal = signal === undefined ? deadline : AbortSignal.any([signal, deadline])
  const members: ReplicaSetMember[] = []
  const set = new EmbeddedReplicaSet(members, replicaSet)
  try {
    for (let index = 0; index < nodes; index += 1) {
      members.push(await ReplicaSetMember.start({ ...options, binary, replicaSet, isThrowAway: true }, startSignal))
    }
    await initiate(members, { replicaSet, electionTimeoutMillis })
    await Promise.all(members.map(async (member) => await member.settled(startSignal)))
    await set.primaryIndex(startSignal)
    return set
  } catch (error) {
    await set.stop()
    throw error
  }
}

/** A throw-away replica set. A fault test ends its nodes and brings them back, by index. */
export class EmbeddedReplicaSet implements AsyncDisposable {
  readonly members: readonly ReplicaSetMember[]
  readonly #replicaSet: string

  constructor(members: readonly ReplicaSetMember[], replicaSet: string) {
    this.members = members
    this.#replicaSet = replicaSet
  }

  get uri(): string {
    return `mongodb://${this.members.map(({ host }) => host).join(',')}/?replicaSet=${this.#replicaSet}`
  }

  /** Waits until a majority agrees on a primary. */
  async primaryIndex(signal = AbortSignal.timeout(60_000)): Promise<number> {
    return await pollUntil(
      async () => {
        const areThey = await Promise.all(this.members.map(async (member) => await member.isPrimary()))
        // For a moment there are two: the old primary has not yet learnt of the new one.
        const primaries = areThey.flatMap((isPrimary, index) => (isPrimary ? [index] : []))
        return primaries.length === 1 ? primaries[0] : undefined
      },
      { signal },
    )
  }

  /** Sends a signal and waits for the end, unless it is SIGSTOP or SIGCONT. */
  async kill(index: number, signal: NodeJS.Signals = 'SIGKILL'): Promise<void> {
    await this.#at(index).kill(signal)
  }

  /** Starts an ended member again and waits until it is primary or secondary. */
  async restart(index: number): Promise<void> {
    await this.#at(index).restart(AbortSignal.timeout(60_000))
  }

  /** Ends every node and removes the data. */
  async stop(): Promise<void> {
    await Promise.all(
      this.members.map(async (member) => {
        await member.kill('SIGKILL')
        await rm(member.dataDir, { recursive: true, force: true })
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop()
  }

  #at(index: number): ReplicaSetMember {
    const member = this.members[index]
    if (member === undefined) throw new Error(`There is no member ${index}`)
    return member
  }
}

/** One node of the set; it keeps its port and its data over `restart()`. */
class ReplicaSetMember {
  readonly host: string
  readonly port: number
  readonly dataDir: string
  readonly #options: LaunchOptions
  #process: MongodProcess

  constructor(options: LaunchOptions, process: MongodProcess) {
    this.port = portOf(options.address) ?? 0
    this.host = options.address
    this.dataDir = options.folder
    this.#options = options
    this.#process = process
  }

  static async start(
    options: Omit<LaunchOptions, 'address' | 'folder'>,
    signal: AbortSignal,
  ): Promise<ReplicaSetMember> {
    const folder = await mkdtemp(join(tmpdir(), 'verbatim-mongod-'))
    await mkdir(dbPathOf(folder))
    const launch = { ...options, folder, address: await tcpAddress(0) }
    return new ReplicaSetMember(launch, await listening(launch, signal))
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
    await withAdmin(this.host, async (admin) => {
      await pollUntil(
        async () => {
          // A member that changes its state closes its connections, so this one may break too.
          const hello = await admin.command({ hello: 1 }).catch(ignoreClosed)
          return hello?.['isWritablePrimary'] === true || hello?.['secondary'] === true ? true : undefined
        },
        { signal },
      )
    })
  }

  async isPrimary(): Promise<boolean> {
    if (!this.isRunning()) return false
    // A paused or stopping member does not answer, so it is no primary.
    return await withAdmin(this.host, async (admin) => await admin.command({ hello: 1 })).then(
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
  members: readonly ReplicaSetMember[],
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
  await withAdmin(first.host, async (admin) => await admin.command({ replSetInitiate: config }))
}
