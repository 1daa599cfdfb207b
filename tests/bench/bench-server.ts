/** A server process under test, seen from outside. */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { createMongoClient } from '@verbatim/core/mongodb'
import { answerOf, startChild } from './child.ts'
import { post } from './http-client.ts'
import type { ServerConfig, ServerUse } from './server-config.ts'
import { wallClockMs } from './workload.ts'
import type { StreamPlan } from './workload.ts'

export interface NewRun {
  readonly runId: string
  readonly agentId: 'paced' | 'continued' | 'silent' | 'flood'
  readonly plan?: StreamPlan
}

/**
 * For a server that is weighed. V8's young generation grows with the work, whatever it is, up to three times its `semi-space`:
 * held at one size, it is not counted as the followers'.
 */
export const weighable = ['--expose-gc', '--min-semi-space-size=16', '--max-semi-space-size=16']

export class BenchServer implements AsyncDisposable {
  readonly port: number
  readonly #child: ChildProcess

  private constructor(child: ChildProcess, port: number) {
    this.#child = child
    this.port = port
  }

  static async start(config: ServerConfig, execArgv: readonly string[] = []): Promise<BenchServer> {
    const child = startChild('./server.ts', [JSON.stringify(config)], execArgv)
    const { port } = await answerOf<{ port: number }>(child)
    return new BenchServer(child, port)
  }

  /** Starts a run in a session of its own. */
  async startRun({ runId, agentId, plan }: NewRun): Promise<void> {
    const input = { runId, sessionId: `session-${runId}`, agentId, message: JSON.stringify(plan ?? 'Talk') }
    await post(this.port, '/trpc/runs.start', JSON.stringify(input))
  }

  /** What the process uses now. */
  async use(): Promise<ServerUse> {
    return await this.#ask('use')
  }

  /** What it uses when its garbage is collected; the server must have been started with `--expose-gc`. */
  async useCollected(): Promise<ServerUse> {
    return await this.#ask('collect')
  }

  /** Resolves when the server has `count` followers. */
  async followed(count: number): Promise<void> {
    const deadlineMs = wallClockMs() + 90_000 // longer than a stalled reader is borne
    while ((await this.use()).followers !== count) {
      if (wallClockMs() > deadlineMs) throw new Error(`The server never had ${count} followers`)
      await sleep(50)
    }
  }

  /** SIGKILL. */
  async kill(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return
    const ended = once(this.#child, 'exit')
    this.#child.kill('SIGKILL')
    await ended
  }

  async stop(): Promise<void> {
    const ended = once(this.#child, 'exit')
    this.#child.send('stop')
    await ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill()
  }

  async #ask(question: 'use' | 'collect'): Promise<ServerUse> {
    this.#child.send(question)
    return await answerOf<ServerUse>(this.#child)
  }
}

/** A database of its own, dropped after the measurement. */
export function openBenchDatabase(
  uri: string,
): AsyncDisposable & { readonly uri: string; readonly databaseName: string } {
  const databaseName = `verbatim-bench-${crypto.randomUUID().slice(0, 8)}`
  return {
    uri,
    databaseName,
    async [Symbol.asyncDispose]() {
      const client = createMongoClient(uri)
      await client.db(databaseName).dropDatabase()
      await client.close()
    },
  }
}
