/** Where plans are played: one world for all of them, and a new one when the harness itself came to grief in the old one. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Outcome } from './faults/scenario.ts'
import { World } from './world/world.ts'

export interface PlanOutcome extends Outcome {
  readonly seconds: number
  /** What the servers said while it ran, newest last. */
  readonly logged: readonly string[]
}

/** The longest scenario takes a minute, and five on a very busy machine: what takes longer has hung, which is a finding. */
const playWithinMs = 480_000

/** A port that was free a moment ago can be taken when it is needed. */
const openAttempts = 3

export class Stage implements AsyncDisposable {
  readonly #nodes: 1 | 3
  #world: World | undefined

  constructor(nodes: 1 | 3) {
    this.#nodes = nodes
  }

  /** Never rejects for what happens while playing: an error is a violation, so that its seed is told. */
  async play(run: (world: World) => Promise<Outcome>): Promise<PlanOutcome> {
    this.#world ??= await openWorld(this.#nodes)
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
    // A world that hangs ends with this process: its children see to that.
    await Promise.race([world?.[Symbol.asyncDispose]().catch(() => {}), sleep(30_000)])
  }
}

async function openWorld(nodes: 1 | 3): Promise<World> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await World.open(nodes)
    } catch (error) {
      if (attempt === openAttempts) throw error
    }
  }
}

async function withinTime(playing: Promise<Outcome>): Promise<Outcome> {
  const over = new AbortController()
  const late = async () => {
    await sleep(playWithinMs, undefined, { signal: over.signal })
    throw new Error(`It was not over within ${playWithinMs} ms`)
  }
  playing.catch(() => {}) // it may fail when nobody waits for it any more
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
    verdict: { violations: [`the harness could not go on: ${text}`], runs: 0, events: 0, ends: {} },
  }
}
