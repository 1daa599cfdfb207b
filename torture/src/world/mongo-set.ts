/** The MongoDB under torture: a replica set of one or three nodes. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { startReplicaSet } from '@verbatim/embedded-mongodb'
import type { EmbeddedReplicaSet } from '@verbatim/embedded-mongodb'
import { MongoClient, MongoNetworkError } from 'mongodb'
import type { Db, Document } from 'mongodb'
import { processEnvironment } from '../env.ts'

const run = promisify(execFile)

/** An election ends within this time, in milliseconds. */
const primaryWithinMs = 30_000

/** A restarted node gets its port within this time, in milliseconds. */
const restartWithinMs = 30_000

/** Attempts of a command when the node closes the connection instead of an answer. */
const maxAttempts = 10

export class MongoSet implements AsyncDisposable {
  readonly #set: EmbeddedReplicaSet
  readonly #hung = new Set<number>()
  /** The connection of the harness; servers have their own. */
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

  static async start(nodes: 1 | 3, oplogSizeMB?: number): Promise<MongoSet> {
    // The open transaction of a killed process locks the session's document for this long. MongoDB's default is 60 s, which is
    // too long for a plan.
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

  /** Asks over the open connection: a new one for each question would be a load on a busy machine. */
  async primary(): Promise<number> {
    const deadline = performance.now() + primaryWithinMs
    while (performance.now() < deadline) {
      const hello = await this.client
        .db('admin')
        .command({ hello: 1 })
        .catch(() => undefined) // the node is gone
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
   * Limits every file of the node to one byte, which looks like a full disk to it (Linux only). Resolves when the node has ended.
   * @throws when it goes on
   */
  async fillDisk(index: number): Promise<void> {
    const pid = this.#set.members[index]?.pid() ?? 0
    await run('prlimit', ['--pid', String(pid), '--fsize=1'])
    const deadline = performance.now() + 20_000
    while (this.#isUp(index) && performance.now() < deadline) await sleep(20)
    if (this.#isUp(index)) throw new Error('mongod goes on with a full disk')
  }

  async restart(index: number): Promise<void> {
    const deadline = performance.now() + restartWithinMs
    while (!this.#isUp(index)) {
      try {
        await this.#set.restart(index)
      } catch (error) {
        // While the node is down, another connection may get its port.
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

  /** The primary steps down. A single node becomes primary again after a second; of three nodes another takes over. */
  async stepDown(): Promise<void> {
    const index = await this.primary()
    const isAlone = this.nodes === 1
    const command = { replSetStepDown: 5, secondaryCatchUpPeriodSecs: isAlone ? 0 : 2, force: isAlone }
    await this.#admin(index, (admin) => admin.command(command)).catch(() => {}) // a step-down may close this connection as well
    if (!isAlone) return
    await sleep(700)
    await this.#admin(index, (admin) => admin.command({ replSetFreeze: 0 })).catch(() => {}) // it is primary again already
  }

  /** Makes commands of the servers fail on the primary, but not those of the harness. */
  async fail(name: string, times: number, data: Document): Promise<void> {
    const command = { configureFailPoint: name, mode: { times }, data: { ...data, appName: 'verbatim' } }
    await this.#command(await this.primary(), command)
  }

  /** Makes every node run and answer again, without fail points. */
  async heal(): Promise<void> {
    for (const index of this.#hung) await this.wake(index)
    for (let index = 0; index < this.nodes; index++) await this.restart(index)
    await this.primary()
    await Promise.all(
      Array.from({ length: this.nodes }, async (_, index) => {
        for (const name of ['failCommand', 'onPrimaryTransactionalWrite']) {
          await this.#command(index, { configureFailPoint: name, mode: 'off' })
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

  /** Repeats a command: a node that changes its state or rolls back closes its connections. */
  async #command(index: number, command: Document): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        await this.#admin(index, (admin) => admin.command(command))
        return
      } catch (error) {
        if (!(error instanceof MongoNetworkError) || tries === maxAttempts) throw error
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
