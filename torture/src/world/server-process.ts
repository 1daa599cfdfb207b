import type { ChildProcess } from 'node:child_process'
import type { FromServer, ServerConfig, ToServer } from '../server/server-config.ts'
import { exitOf, isRunning, messageOf, startProgram } from './child-process.ts'

/** A server process. It is spawned warm (code loaded, nothing opened) and started when it is needed. */
export class ServerProcess {
  readonly #child: ChildProcess
  readonly #warm: Promise<true>
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

  get isRunning(): boolean {
    return isRunning(this.#child)
  }

  get pid(): number {
    return this.#child.pid ?? 0
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

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal)
  }

  async kill(): Promise<void> {
    this.#child.kill('SIGKILL')
    await exitOf(this.#child)
  }

  /** SIGTERM; answers the exit code. */
  async terminate(): Promise<number | null> {
    this.#child.kill('SIGTERM')
    return await exitOf(this.#child)
  }

  #tell(message: ToServer): void {
    if (this.#child.connected) this.#child.send(message)
  }
}
