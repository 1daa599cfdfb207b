import type { ChildProcess } from 'node:child_process'
import type { FromServer, ServerConfig, ToServer } from '../server/server-config.ts'
import { exitOf, isRunning, messageOf, startProgram } from './child-process.ts'

/** A server process. It spawns warm (its code loaded, nothing open) and starts on request. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #warm: Promise<true>
  #isHung = false
  #isKilled = false
  #wasHurt = false
  #isStopping = false
  /** The log lines of the engine, newest last. */
  readonly logged: string[] = []

  private constructor(child: ChildProcess) {
    this.#child = child
    this.#warm = messageOf(child, (message) => ((message as FromServer).type === 'warm' ? true : undefined))
    this.#warm.catch(() => {}) // start() throws it
    child.on('message', (message: FromServer) => {
      if (message.type !== 'log') return
      this.logged.push(message.text)
      if (this.logged.length > 200) this.logged.shift()
    })
  }

  static spawn(): ServerProcess {
    return new ServerProcess(startProgram('server/main.ts'))
  }

  /** True after SIGTERM. */
  get isStopping(): boolean {
    return this.#isStopping
  }

  get isRunning(): boolean {
    return isRunning(this.#child)
  }

  /** Whether another fault killed or stopped it during its shutdown, which then explains how it ended. */
  get wasHurt(): boolean {
    return this.#wasHurt
  }

  /** Opens the engine and listens; resolves to the port. */
  async start(config: ServerConfig): Promise<number> {
    await this.#warm
    const listening = messageOf(this.#child, (message) => (message as { port?: number }).port)
    this.send({ type: 'start', config })
    return await listening.catch((error: unknown) => {
      throw new Error(`A server could not start: ${this.logged.join('; ')}`, { cause: error })
    })
  }

  send(message: ToServer): void {
    if (this.#child.connected) this.#child.send(message)
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

  /** Sends SIGTERM; resolves to the exit code, or to `late` when the process did not end and was killed. */
  async terminate(withinMs: number): Promise<number | null | 'late'> {
    // An earlier fault is over by now, except a SIGSTOP, and a SIGKILL whose process has not ended yet.
    this.#wasHurt = this.#isHung || this.#isKilled
    this.#isStopping = true
    this.#child.kill('SIGTERM')
    let isLate = false
    const timer = setTimeout(() => {
      isLate = true
      this.#child.kill('SIGKILL')
    }, withinMs)
    const code = await exitOf(this.#child)
    clearTimeout(timer)
    return isLate ? 'late' : code
  }
}
