/** A place in the fleet: one server process at a time behind an address that stays, and its own way to MongoDB. */
import type { CrashPoint, ServerConfig } from '../server/server-config.ts'
import type { ServerProcess } from './server-process.ts'
import type { TcpProxy } from './tcp-proxy.ts'

/** An exit code (null when it died of a signal), or `late` when it did not end. */
export type ServerExit = number | null | 'late'

/** How long a server may take to stop, beside what it gives its runs, in milliseconds. */
const stopWithinMs = 30_000

export interface SlotDeps {
  /** Hands out a process whose code is loaded. */
  readonly spare: () => ServerProcess
  readonly config: () => ServerConfig
  /** How a server ended that was asked to stop, and then left alone. */
  readonly onExit: (how: ServerExit) => void
}

export class ServerSlot {
  readonly #deps: SlotDeps
  #process: ServerProcess | undefined
  #targetPort = 0
  #starting: Promise<void> | undefined
  #ending: Promise<unknown> | undefined
  #logged: string[] = []
  /** Clients come through here. */
  front!: TcpProxy
  /** The server reaches MongoDB through here; only with one node. */
  back: TcpProxy | undefined

  constructor(deps: SlotDeps) {
    this.#deps = deps
  }

  get targets(): number[] {
    return this.#process?.isRunning === true && this.#targetPort > 0 ? [this.#targetPort] : []
  }

  get logged(): readonly string[] {
    return [...this.#logged, ...(this.#process?.logged ?? [])]
  }

  clearLog(): void {
    this.#logged = []
    this.#process?.logged.splice(0)
  }

  /** Starts a process unless one runs. */
  async start(special: { crashAt?: CrashPoint; clockSkewMs?: number; mongoOptions?: string } = {}): Promise<void> {
    await this.#ending
    this.#starting ??= this.#start(special).finally(() => (this.#starting = undefined))
    await this.#starting
  }

  async kill(): Promise<void> {
    await this.#starting?.catch(() => {})
    this.#ending = this.#process?.kill()
    await this.#ending
  }

  /** Drains; the exit code must be 0, unless another fault hurts the process meanwhile. */
  async terminate(): Promise<void> {
    await this.#starting?.catch(() => {})
    const leaving = this.#process
    if (leaving?.isRunning !== true) return
    // A second SIGTERM would end it at once, as it should.
    if (leaving.isStopping) return void (await this.#ending)
    const ending = leaving.terminate(stopWithinMs + this.#deps.config().graceMs)
    this.#ending = ending
    const how = await ending
    if (!leaving.wasHurt) this.#deps.onExit(how)
  }

  hang(): void {
    this.#process?.hang()
  }

  wake(): void {
    this.#process?.wake()
  }

  grace(ms: number): void {
    this.#process?.grace(ms)
  }

  block(ms: number): void {
    this.#process?.block(ms)
  }

  get isRunning(): boolean {
    return this.#process?.isRunning === true
  }

  async #start(special: { crashAt?: CrashPoint; clockSkewMs?: number; mongoOptions?: string }): Promise<void> {
    if (this.#process?.isRunning === true) return
    this.#logged.push(...(this.#process?.logged ?? []))
    const config = this.#deps.config()
    const { mongoOptions = '', ...rest } = special
    const uri =
      this.back === undefined ? config.mongoUri : `mongodb://127.0.0.1:${this.back.port}/?directConnection=true`
    this.#process = this.#deps.spare()
    this.#targetPort = await this.#process.start({ ...config, ...rest, mongoUri: uri + mongoOptions })
  }
}
