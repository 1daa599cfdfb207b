import type { ChildProcess } from 'node:child_process'
import { exitOf, messageOf, startProgram } from './child-process.ts'

export class ProviderProcess implements AsyncDisposable {
  readonly url: string
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, url: string) {
    this.#child = child
    this.url = url
  }

  static async start(): Promise<ProviderProcess> {
    const child = startProgram('provider/main.ts')
    return new ProviderProcess(child, await messageOf(child, (message) => (message as { url?: string }).url))
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill('SIGKILL')
    await exitOf(this.#child)
  }
}
