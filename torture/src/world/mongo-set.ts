/** The MongoDB under torture: a replica set of one or three nodes that can be killed, hung, stepped down and made to fail. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import type { EmbeddedReplicaSet } from '@verbatim/embedded-mongodb'
import { MongoClient, MongoNetworkError } from 'mongodb'
import type { Db, Document } from 'mongodb'
import { processEnvironment } from '../env.ts'

const run = promisify(execFile)

/** How long an election may take, in milliseconds. */
const primaryWithinMs = 30_000

/** How long a node may find its port taken, in milliseconds. */
const restartWithinMs = 30_000

/** How often a node is told what to do, when it closes the connection instead of answering. */
const maxTells = 10

/** How many commands fail, or until when. */
export type FailPointMode = { readonly times: number } | 'alwaysOn'

export class MongoSet implements AsyncDisposable {
  readonly #set: EmbeddedReplicaSet
  readonly #hung = new Set<number>()
  /** The harness's own connection: the checker's, not the servers'. */
  readonly client: MongoClient

  private constructor(set: EmbeddedReplicaSet) {
    this.#set = set
    this.client = new MongoClient(set.uri, {
      appName: 'torture',
      readConcern: { level: 'majority' },
      writeConcern: { w: 'majority' },
      serverSelectionTimeoutMS: 30_000,
      connectTimeoutMS: 2_000,
      heartbeatFrequencyMS: 1_000,
      serverMonitoringMode: 'poll',
    })
  }

  /** @param oplogSizeMB of the replication log; a small one soon forgets what change streams have not read */
  static async start(nodes: 1 | 3, oplogSizeMB?: number): Promise<MongoSet> {
    // A killed process leaves its open transaction behind, and with it the session's document locked, for as long as this
    // (60 s by MongoDB's default): a plan cannot wait so long.
    const setParameters = { enableTestCommands: 1, transactionLifetimeLimitSeconds: 3 }
    const small = oplogSizeMB === undefined ? {} : { oplogSizeMB }
    const options = { env: processEnvironment, nodes, electionTimeoutMillis: 2_000, setParameters, ...small }
    return new MongoSet(await startReplicaSet(options))
  }

  get nodes(): number {
    return this.#set.members.length
  }

  get uri(): string {
    return this.#set.uri
  }

  portOf(index: number): number {
    return this.#set.members[index]?.port ?? 0
  }

  /** Asked by the one connection that is open: a new one for each look would be a load of its own on a busy machine. */
  async primary(): Promise<number> {
    const deadline = performance.now() + primaryWithinMs
    while (performance.now() < deadline) {
      const hello = await this.client
        .db('admin')
        .command({ hello: 1 })
        .catch(() => undefined) // whoever was asked is gone
      const index = this.#set.members.findIndex(({ host }) => host === hello?.['me'])
      if (hello?.['isWritablePrimary'] === true && index >= 0) return index
      await sleep(50)
    }
    throw new Error('No node is primary')
  }

  async kill(index: number, signal: 'SIGKILL' | 'SIGABRT' = 'SIGKILL'): Promise<void> {
    this.#hung.delete(index)
    await this.#set.kill(index, signal)
  }

  /**
   * From now on no file of the node's can be written past its first byte, which is what it sees of a disk without room (Linux
   * only). Resolves when that has ended it. @throws when it lives on
   */
  async fillDisk(index: number): Promise<void> {
    const pid = this.#set.members[index]?.pid() ?? 0
    await run('prlimit', ['--pid', String(pid), '--fsize=1'])
    const deadline = performance.now() + 20_000
    while (this.#isUp(index) && performance.now() < deadline) await sleep(20)
    if (this.#isUp(index)) throw new Error('mongod goes on without a disk')
  }

  /** A clean shutdown; a primary steps down first. */
  async stop(index: number): Promise<void> {
    await this.#set.stopMember(index)
  }

  async restart(index: number): Promise<void> {
    const deadline = performance.now() + restartWithinMs
    while (!this.#isUp(index)) {
      try {
        await this.#set.restart(index)
      } catch (error) {
        // Its port is free while it is down, and somebody's connection may have been given it.
        if (!/port_taken/.test(String(error)) || performance.now() > deadline) throw error
        await sleep(250)
      }
    }
  }

  async hang(index: number): Promise<void> {
    this.#hung.add(index)
    await this.#set.kill(index, 'SIGSTOP')
  }

  async wake(index: number): Promise<void> {
    this.#hung.delete(index)
    if (this.#isUp(index)) await this.#set.kill(index, 'SIGCONT')
  }

  /** The primary steps down; with one node it is asked back after a second, with three another takes over. */
  async stepDown(): Promise<void> {
    const index = await this.primary()
    const isAlone = this.nodes === 1
    const command = { replSetStepDown: 5, secondaryCatchUpPeriodSecs: isAlone ? 0 : 2, force: isAlone }
    await this.#admin(index, (admin) => admin.command(command)).catch(() => {}) // it may close our connection as well
    if (!isAlone) return
    await sleep(700)
    await this.#admin(index, (admin) => admin.command({ replSetFreeze: 0 })).catch(() => {}) // it has come back already
  }

  /** Makes commands of the servers fail on the primary; the harness's own go through. */
  async fail(name: string, mode: FailPointMode, data: Document): Promise<void> {
    const command = { configureFailPoint: name, mode, data: { ...data, appName: 'verbatim' } }
    await this.#tell(await this.primary(), command)
  }

  /** Everything runs and answers again, and no fail point is left. */
  async heal(): Promise<void> {
    for (const index of this.#hung) await this.wake(index)
    for (let index = 0; index < this.nodes; index++) await this.restart(index)
    await this.primary()
    await Promise.all(
      Array.from({ length: this.nodes }, async (_, index) => {
        for (const name of ['failCommand', 'onPrimaryTransactionalWrite']) {
          await this.#tell(index, { configureFailPoint: name, mode: 'off' })
        }
      }),
    )
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const index of this.#hung) await this.wake(index)
    await this.client.close()
    await this.#set.stop()
  }

  #isUp(index: number): boolean {
    return this.#set.members[index]?.isRunning() ?? false
  }

  /** A node that is elected, steps down or rolls back closes its connections: it is told again. */
  async #tell(index: number, command: Document): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#admin(index, (admin) => admin.command(command))
        return
      } catch (error) {
        if (!(error instanceof MongoNetworkError) || tries === maxTells) throw error
        await sleep(200)
      }
    }
  }

  async #admin<TResult>(index: number, use: (admin: Db) => Promise<TResult>): Promise<TResult> {
    const uri = `mongodb://127.0.0.1:${this.portOf(index)}/`
    const client = new MongoClient(uri, {
      directConnection: true,
      appName: 'torture',
      serverSelectionTimeoutMS: 20_000,
    })
    try {
      return await use(client.db('admin'))
    } finally {
      await client.close()
    }
  }
}
