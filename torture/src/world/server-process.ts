import type { ChildProcess } from 'node:child_process'
import type { FromServer, ServerConfig, ToServer } from '../server/server-config.ts'
import { exitOf, isRunning, messageOf, startProgram } from './child-process.ts'

/** A server process. It is spawned warm (code loaded, nothing opened) and started when it is needed. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #warm: Promise<true>
  #isHung = false
  #isKilled = false
  #wasHurt = false
  #isStopping = false
  /** What the engine reported, newest last. */
  readonly logged: string[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#warm = messageOf(child, (message) => ((message as FromServer).type === 'warm' ? true : undefined))
    this.#warm.catch(() => {}) // told again by start()
    child.on('message', (message: FromServer) => {
      if (message.type !== 'log') return
      this.logged.push(message.text)
      if (this.logged.length > 200) this.logged.shift()
    })
  }

  static spawn(): ServerProcess {
    return new ServerProcess(startProgram('server/main.ts'))
  }

  /** True once it was asked to stop. */
  get isStopping(): boolean {
    return this.#isStopping
  }

  get isRunning(): boolean {
    return isRunning(this.#child)
  }

  get pid(): number {
    return this.#child.pid ?? 0
  }

  /** Whether it was killed or hung while it stopped: how it ends is then our doing. */
  get wasHurt(): boolean {
    return this.#wasHurt
  }

  /** Opens the engine and listens; answers the port. */
  async start(config: ServerConfig): Promise<number> {
    await this.#warm
    const listening = messageOf(this.#child, (message) => {
      const told = message as FromServer
      return told.type === 'listening' ? told.port : undefined
    })
    this.#tell({ type: 'start', config })
    return await listening.catch((error: unknown) => {
      throw new Error(`A server could not start: ${this.logged.join('; ')}`, { cause: error })
    })
  }

  /** How long runs may go on behind SIGTERM. */
  grace(ms: number): void {
    this.#tell({ type: 'grace', ms })
  }

  block(ms: number): void {
    this.#tell({ type: 'block', ms })
  }

  hang(): void {
    this.#isHung = true
    this.#wasHurt = true
    this.#child.kill('SIGSTOP')
  }

  wake(): void {
    this.#isHung = false
    this.#child.kill('SIGCONT')
  }

  async kill(): Promise<void> {
    if (this.isRunning) this.#wasHurt = this.#isKilled = true
    this.#child.kill('SIGKILL')
    await exitOf(this.#child)
  }

  /** SIGTERM; answers the exit code, or that it had to be killed because it did not end. */
  async terminate(withinMs: number): Promise<number | null | 'late'> {
    // What hurt it before is over; but one that was just killed may not have ended yet.
    this.#wasHurt = this.#isHung || this.#isKilled
    this.#isStopping = true
    this.#child.kill('SIGTERM')
    let isLate = false
    const waitOptions = setTimeout(() => {
      isLate = true
      this.#child.kill('SIGKILL')
    }, withinMs)
    const code = await exitOf(this.#child)
    clearTimeout(waitOptions)
    return isLate ? 'late' : code
  }

  #tell(message: ToServer): void {
    if (this.#child.connected) this.#child.send(message)
  }
}
