/** The world on which plans run: one world for all plans, and a new one after the harness itself failed. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from './faults/scenario.ts'
import { World } from './world/world.ts'
import type { WorldOptions } from './world/world.ts'

export interface PlanOutcome extends Outcome {
  readonly seconds: number
  /** The log lines of the servers, newest last. */
  readonly logged: readonly string[]
}

/** The longest scenario takes a minute, and five on a very busy machine. A longer one hangs, which is a violation. */
const playWithinMs = 480_000

/** Another process may take a free port before a world does. */
const openAttempts = 3

export class Stage implements AsyncDisposable {
  readonly #nodes: 1 | 3
  readonly #options: WorldOptions
  #world: World | undefined

  constructor(nodes: 1 | 3, options: WorldOptions) {
    this.#nodes = nodes
    this.#options = options
  }

  /** Never rejects because of the plan: an error is a violation, so that its seed is printed. */
  async play(run: (world: World) => Promise<Outcome>): Promise<PlanOutcome> {
    this.#world ??= await openWorld(this.#nodes, this.#options)
    const world = this.#world
    const startedAt = performance.now()
    const outcome = await withinTime(run(world)).catch(async (error: unknown) => {
      await this.#leave()
      return failed(error)
    })
    const logged = world.servers.flatMap((server, at) => server.logged.map((line) => `server ${at}: ${line}`))
    return { ...outcome, logged, seconds: (performance.now() - startedAt) / 1_000 }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#leave()
  }

  async #leave(): Promise<void> {
    const world = this.#world
    this.#world = undefined
    // The children of a world that hangs end with this process.
    await Promise.race([world?.[Symbol.asyncDispose]().catch(() => {}), sleep(30_000)])
  }
}

async function openWorld(nodes: 1 | 3, options: WorldOptions): Promise<World> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await World.open(nodes, options)
    } catch (error) {
      if (attempt === openAttempts) throw error
    }
  }
}

async function withinTime(playing: Promise<Outcome>): Promise<Outcome> {
  const over = new AbortController()
  const late = async () => {
    await sleep(playWithinMs, undefined, { signal: over.signal })
    throw new Error(`The plan did not end within ${playWithinMs} ms`)
  }
  playing.catch(() => {}) // it may fail after the race below
  try {
    return await Promise.race([playing, late()])
  } finally {
    over.abort()
  }
}

function failed(error: unknown): Outcome {
  const text = error instanceof Error ? (error.stack ?? error.message) : String(error)
  return {
    injected: new Map(),
    verdict: { violations: [`the harness failed: ${text}`], runs: 0, events: 0, ends: {} },
  }
}
