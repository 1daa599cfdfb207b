/** One run, written by one process and followed in two: what its followers, its process and its log may do, in any order. */
import { isTerminalEvent, isVerbatimError, lastSeqOf, toCursor } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { RunKey, Engine } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import fc from 'fast-check'
import { expect, vi } from 'vitest'
import { manualAgent } from '../support/agents.ts'
import type { ManualAgent } from '../support/agents.ts'
import { openEngine, shortLeases } from '../support/engine.ts'
import { waitOptions } from '../support/follow.ts'
import { textOfLog } from './log-model.ts'
import { agentId, anySignal, owner, readPages } from './log-world.ts'

export interface FollowModel {
  said: string
  end: 'completed' | 'failed' | 'cancelled' | 'drained' | undefined
}

interface Follower {
  readonly events: RunEvent[]
  /** Present while it is attached. */
  attached: { readonly stop: AbortController; readonly left: Promise<void> } | undefined
}

export interface FollowWorld extends AsyncDisposable {
  readonly database: TestDatabase
  readonly key: RunKey
  readonly runId: string
  readonly agent: ManualAgent
  /** The first one writes the run. */
  readonly engines: readonly [Engine, Engine]
  readonly followers: readonly Follower[]
}

/** @param withHints without them a process learns of another's events by its poll alone */
export async function openFollowWorld(database: TestDatabase, withHints: boolean): Promise<FollowWorld> {
  const agent = manualAgent({ id: agentId })
  const { logWatcher, ...rest } = database.storage
  const storage = withHints ? { ...rest, logWatcher } : rest
  const open = (recoveryMs: number) =>
    openEngine(database, {
      agents: [agent],
      // A memory so small that followers fall out of it and go on in the log.
      options: { ...shortLeases, recoveryMs, pollMs: 20, maxRingBytes: 400 },
      wrap: () => storage,
    })
  // The writer takes nothing over: what it drains is for the other one, at once.
  const engines = [open(600_000), open(30)] as const
  const runId = crypto.randomUUID()
  await engines[0].runs.start(owner, { runId, sessionId: runId, message: 'go' })
  return {
    database,
    runId,
    agent,
    engines,
    key: database.storage.eventLog.keyOf(owner, runId),
    followers: [0, 1, 2].map(() => ({ events: [], attached: undefined })),
    async [Symbol.asyncDispose]() {
      for (const engine of engines) await engine.close()
    },
  }
}

type Command = fc.AsyncCommand<FollowModel, FollowWorld>

export const tally = new Map<string, number>()

function command<TInput>(
  name: string,
  input: fc.Arbitrary<TInput>,
  step: {
    isPossible?: (model: Readonly<FollowModel>, input: TInput) => boolean
    run: (model: FollowModel, world: FollowWorld, input: TInput) => Promise<void> | void
  },
): fc.Arbitrary<Command> {
  return input.map((given) => ({
    check: (model) => step.isPossible?.(model, given) ?? true,
    async run(model, world) {
      tally.set(name, (tally.get(name) ?? 0) + 1)
      await step.run(model, world, given)
    },
    toString: () => `${name}(${fc.stringify(given)})`,
  }))
}

const isRunning = (model: Readonly<FollowModel>) => model.end === undefined

const attachInput = fc.record({
  follower: fc.nat(2),
  engine: fc.constantFrom<0 | 1>(0, 1),
  /** Batches after which it goes away; null for one that stays. */
  batches: fc.option(fc.integer({ min: 1, max: 4 })),
})

let words = 0

/** Commands with what they mean for the run and its followers. */
export const followCommands: fc.Arbitrary<Command>[] = [
  command('say', fc.integer({ min: 1, max: 4 }), {
    isPossible: isRunning,
    run(model, { agent }, count) {
      const said = Array.from({ length: count }, () => `word ${++words} `)
      agent.say(...said)
      model.said += said.join('')
    },
  }),
  command('see all that was said', fc.constant(null), {
    isPossible: isRunning,
    run: expectSaid,
  }),
  command('attach', attachInput, { run: async (model, world, input) => await attach(model, world, input) }),
  command('attach', attachInput, { run: async (model, world, input) => await attach(model, world, input) }),
  command('drop', fc.nat(2), { run: async (_, world, at) => await drop(world.followers[at]) }),
  command(
    'follow past the end',
    fc.record({ engine: fc.constantFrom<0 | 1>(0, 1), by: fc.integer({ min: 1, max: 9 }) }),
    {
      isPossible: (model) => !isRunning(model),
      run: expectNothingPast,
    },
  ),
  command('archive', fc.constant(null), {
    isPossible: (model) => !isRunning(model),
    async run(_, world) {
      await whole(world)
      await world.database.storage.eventLog.archive([world.key], { expiresAt: new Date('2100-01-01') })
    },
  }),
  endCommand(),
  endCommand(),
]

function endCommand(): fc.Arbitrary<Command> {
  const how = fc.constantFrom('completed', 'failed', 'cancelled', 'drained')
  return command('end', fc.record({ how, isMeant: rarely() }), {
    isPossible: (model, { isMeant }) => isMeant && isRunning(model),
    async run(model, world, { how }) {
      model.end = how
      await endings[how](world)
    },
  })
}

async function expectSaid(model: FollowModel, world: FollowWorld): Promise<void> {
  await vi.waitFor(async () => expect(textOfLog(await stored(world))).toBe(model.said), waitOptions)
}

async function expectNothingPast(
  model: FollowModel,
  world: FollowWorld,
  { engine, by }: { engine: 0 | 1; by: number },
): Promise<void> {
  const after = (await whole(world)).length + by
  const following = engineOf(model, world, engine).runs.follow(owner, world.runId, {
    after: toCursor(world.runId, after),
    signal: anySignal(),
  })
  await expect(following.next()).rejects.toMatchObject({ code: 'INVALID_CURSOR' })
}

/** An end stands for many commands that could have come before it. */
function rarely(): fc.Arbitrary<boolean> {
  return fc.oneof({ weight: 3, arbitrary: fc.constant(false) }, { weight: 1, arbitrary: fc.constant(true) })
}

const endings = {
  completed: ({ agent }: FollowWorld) => agent.end(),
  failed: ({ agent }: FollowWorld) => agent.fail(new Error('The agent fails, as the sequence wants')),
  // Asked of the process that does not write the run.
  cancelled: async ({ engines: [, other], runId }: FollowWorld) => void (await other.runs.cancel(owner, runId)),
  // The process gives the run up, and the other one ends it; where nothing of the answer is stored, it asks the agent for it.
  drained: async ({ engines: [writer], agent }: FollowWorld) => {
    await writer.drain({ graceMs: 1 })
    agent.end()
  },
} as const

/** Of a process that has been stopped there is nothing to follow any more: its followers go to the other one. */
function engineOf(model: FollowModel, { engines }: FollowWorld, at: 0 | 1): Engine {
  return model.end === 'drained' ? engines[1] : engines[at]
}

async function attach(
  model: FollowModel,
  world: FollowWorld,
  input: { follower: number; engine: 0 | 1; batches: number | null },
): Promise<void> {
  const follower = world.followers[input.follower]
  if (follower === undefined) throw new Error('No such follower')
  await drop(follower)
  const stop = new AbortController()
  const engine = engineOf(model, world, input.engine)
  const left = readOn(world, engine, { follower, stop, batches: input.batches ?? Number.POSITIVE_INFINITY })
  left.catch(() => {}) // looked at when it is dropped
  follower.attached = { stop, left }
}

async function drop(follower: Follower | undefined): Promise<void> {
  follower?.attached?.stop.abort(left)
  await follower?.attached?.left
  if (follower !== undefined) follower.attached = undefined
}

const left = Symbol('left')

/** Follows on from the follower's place and checks each batch. Ends with the run, after `batches`, or when it is stopped. */
async function readOn(
  { database, key, runId }: FollowWorld,
  engine: Engine,
  { follower, stop, batches }: { follower: Follower; stop: AbortController; batches: number },
): Promise<void> {
  const { events } = follower
  let taken = 0
  try {
    for await (const batch of engine.runs.follow(owner, runId, {
      after: toCursor(runId, events.length),
      signal: stop.signal,
    })) {
      // Durable before visible: a read of the log now finds what was shown.
      const stored = await readPages(database, key, { after: batch.firstSeq - 1, maxBatches: 100 })
      expect(stored.slice(0, batch.events.length)).toEqual(batch.events)
      expect(batch.firstSeq).toBe(events.length + 1)
      events.push(...batch.events)
      expect(lastSeqOf(batch)).toBe(events.length)
      if (++taken === batches) return
    }
    // It was not stopped: only the end of the run ends it.
    expect(events.at(-1)).toSatisfy(isTerminalEvent)
  } catch (error) {
    const isStopping = isVerbatimError(error) && error.code === 'UNAVAILABLE' && engine.draining.aborted
    if (error !== left && !isStopping) throw error
  }
}

async function stored({ database, key }: FollowWorld): Promise<RunEvent[]> {
  return await readPages(database, key, { after: 0, maxBatches: 100 })
}

/** The log of the run when it has ended. */
async function whole(world: FollowWorld): Promise<RunEvent[]> {
  return await vi.waitFor(async () => {
    const events = await stored(world)
    expect(events.at(-1)).toSatisfy(isTerminalEvent)
    return events
  }, waitOptions)
}

/** Ends the run, lets every follower read to its end, each where it is or on the other engine, and compares. */
export async function expectOnceAndInOrder(model: FollowModel, world: FollowWorld): Promise<void> {
  if (model.end === undefined) {
    model.end = 'completed'
    endings.completed(world)
  }
  const log = await whole(world)
  expect(log.filter(isTerminalEvent)).toHaveLength(1)
  if (model.end === 'completed') expect(textOfLog(log)).toBe(model.said)
  else expect(model.said.startsWith(textOfLog(log))).toBe(true)
  for (const [at, follower] of world.followers.entries()) {
    await follower.attached?.left
    while (!follower.events.some(isTerminalEvent)) {
      await attach(model, world, { follower: at, engine: at === 0 ? 1 : 0, batches: 2 })
      await follower.attached?.left
    }
    expect(follower.events).toEqual(log)
  }
}
