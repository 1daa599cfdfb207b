/** A place for one server process at a time: its address stays the same, and its connection to MongoDB has a proxy. */
import type { CrashPoint, ServerConfig, ToServer } from '../server/server-config.ts'
import type { ServerProcess } from './server-process.ts'
import type { TcpProxy } from '@verbatim/test-kit/http'

/** An exit code (null after a signal), or `late` when the process did not end. */
export type ServerExit = number | null | 'late'

/** A server stops within this time and its grace period, in milliseconds. */
const stopWithinMs = 30_000

/** What one server gets that the others do not. */
export interface SpecialStart {
  readonly crashAt?: CrashPoint
  readonly clockSkewMs?: number
  /** Added to the connection string. */
  readonly mongoOptions?: string
}

export interface SlotDeps {
  /** A process whose code is loaded. */
  readonly spare: () => ServerProcess
  readonly config: () => ServerConfig
  /** Called with the end of a server that stopped on request, without another fault. */
  readonly onExit: (how: ServerExit) => void
}

export class ServerSlot {
  readonly #deps: SlotDeps
  #process: ServerProcess | undefined
  #targetPort = 0
  #starting: Promise<void> | undefined
  #ending: Promise<unknown> | undefined
  #logged: string[] = []
  /** Clients connect through it. */
  front!: TcpProxy
  /** The server connects to MongoDB through it; only with one node. */
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

  /** Starts a process if none runs. */
  async start(special: SpecialStart = {}): Promise<void> {
    await this.#ending
    this.#starting ??= this.#start(special).finally(() => (this.#starting = undefined))
    await this.#starting
  }

  async kill(): Promise<void> {
    await this.#starting?.catch(() => {})
    this.#ending = this.#process?.kill()
    await this.#ending
  }

  /** Drains; the exit code must be 0 unless another fault hits the process meanwhile. */
  async terminate(): Promise<void> {
    await this.#starting?.catch(() => {})
    const stopping = this.#process
    if (stopping?.isRunning !== true) return
    // A second SIGTERM would rightly end it at once.
    if (stopping.isStopping) return void (await this.#ending)
    const ending = stopping.terminate(stopWithinMs + this.#deps.config().graceMs)
    this.#ending = ending
    const how = await ending
    if (!stopping.wasHurt) this.#deps.onExit(how)
  }

  hang(): void {
    this.#process?.hang()
  }

  wake(): void {
    this.#process?.wake()
  }

  send(message: ToServer): void {
    this.#process?.send(message)
  }

  get isRunning(): boolean {
    return this.#process?.isRunning === true
  }

  async #start(special: SpecialStart): Promise<void> {
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
