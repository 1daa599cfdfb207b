import type { ChildProcess } from 'node:child_process'
import { exitOf, messageOf, startProgram } from './child-process.ts'

export class ProviderProcess implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.url = `http://127.0.0.1:${port}`
  }

  static async start(): Promise<ProviderProcess> {
    const child = startProgram('provider/main.ts')
    const port = await messageOf(child, (message) => (message as { port?: number }).port)
    return new ProviderProcess(child, port)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await exitOf(this.#child)
  }
}
