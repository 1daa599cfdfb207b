/** F5 to F12, F14, F16, F24, F26: what happens to MongoDB, and on the way to it. */
import { startOnce } from '../clients/raw-calls.ts'
import { waitUntilEnded } from '../checker/read-storage.ts'
import type { FaultPlan } from '../plan/plan.ts'
import { latenessOf } from '../plan/pulse.ts'
import { restartWith } from './server-faults.ts'
import { allComplete, planned, runSketch, sketchPlan } from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'
import type { World } from '../world/world.ts'

const writes = ['insert', 'update', 'findAndModify', 'commitTransaction']
const patient = { profile: 'patient', prompt: { tokens: 120, paceMs: 20 } } as const

const diskFull = planned(
  {
    name: 'disk-full',
    covers: 'F24',
    what: 'mongod cannot write to its disk any more, ends, and comes back to a disk with room',
  },
  { ...patient, faults: [{ atMs: 500, kind: 'mongod-disk-full', node: 'primary', backAfterMs: 300 }] },
)

export const mongoFaults: readonly Scenario[] = [
  planned(
    { name: 'kill-primary', covers: 'F5', what: 'SIGKILL of the primary; another takes over', nodes: 3 },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-kill', node: 'primary', backAfterMs: 4_000 }] },
  ),
  planned(
    { name: 'kill-mongod', covers: 'F5', what: 'SIGKILL of the only mongod, and its restart' },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-kill', node: 'primary', backAfterMs: 100 }] },
  ),
  planned(
    {
      name: 'mongod-abort',
      covers: 'F24',
      what: 'mongod ends itself (SIGABRT) in the middle of writing, and comes back',
    },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-abort', node: 'primary', backAfterMs: 300 }] },
  ),
  // Only Linux can take the room away from a process that runs.
  ...(process.platform === 'linux' ? [diskFull] : []),
  planned(
    { name: 'hung-primary', covers: 'F6', what: 'a primary that hangs until another has taken over', nodes: 3 },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-hang', node: 'primary', forMs: 9_000 }] },
  ),
  planned(
    { name: 'hung-mongod', covers: 'F6', what: 'the only mongod hangs for a while' },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-hang', node: 'primary', forMs: 2_000 }] },
  ),
  planned(
    { name: 'step-down-loop', covers: 'F7', what: 'the primary steps down again and again' },
    {
      ...patient,
      faults: [200, 2_400, 4_600].map((atMs): FaultPlan => ({ atMs, kind: 'step-down' })),
      prompt: { tokens: 150, paceMs: 30 },
    },
    allComplete,
  ),
  {
    name: 'majority-lost',
    covers: 'F8',
    what: 'both secondaries die: nothing is confirmed',
    nodes: 3,
    run: loseMajority,
  },
  planned(
    { name: 'rollback', covers: 'F9', what: 'the primary dies with writes nobody else has', nodes: 3 },
    {
      ...patient,
      prompt: { tokens: 400, paceMs: 20 },
      faults: [{ atMs: 200, kind: 'lose-unreplicated', aloneMs: 1_200, backAfterMs: 5_000 }],
    },
  ),
  planned(
    { name: 'applied-then-cut', covers: 'F10', what: 'writes that are applied, and whose answers are lost' },
    {
      ...patient,
      turns: 2,
      faults: [
        { atMs: 10, kind: 'fail-commands', how: { type: 'applied-then-cut' }, commands: [], times: 3 },
        { atMs: 400, kind: 'fail-commands', how: { type: 'applied-then-cut' }, commands: [], times: 3 },
        { atMs: 800, kind: 'fail-commands', how: { type: 'close' }, commands: [...writes, 'find'], times: 6 },
      ],
    },
    allComplete,
  ),
  planned(
    { name: 'slow-database', covers: 'F11', what: 'commits that take 400 ms: bigger batches, in order' },
    {
      ...patient,
      faults: [{ atMs: 200, kind: 'fail-commands', how: { type: 'block', ms: 400 }, commands: writes, times: 8 }],
    },
    allComplete,
  ),
  planned(
    { name: 'server-codes', covers: 'F12', what: 'elections, shutdowns and unreachable majorities, by their codes' },
    { ...patient, turns: 2, faults: codes() },
    allComplete,
  ),
  planned(
    { name: 'watch-dies', covers: 'F14', what: 'the change stream dies of lost histories and cursors' },
    {
      ...patient,
      readers: [{ via: 1 }, { via: 1, type: 'sdk' }, { via: 1, dropEvery: 3 }],
      faults: [286, 136, 43].map((code, at): FaultPlan => {
        const commands = ['getMore', 'aggregate']
        return { atMs: 200 + at * 500, kind: 'fail-commands', how: { type: 'code', code }, commands, times: 4 }
      }),
    },
    allComplete,
  ),
  {
    name: 'starved-pool',
    covers: 'F16',
    what: 'five connections to MongoDB for a hundred followers: leases live on',
    async run(world, seed) {
      await world.use('patient', 300)
      const mongoOptions = world.mongo.nodes === 1 ? '&maxPoolSize=5' : ''
      await restartWith(world, [{ mongoOptions }, { mongoOptions }])
      const readers = Array.from({ length: 25 }, (_, at) => ({ via: at, dropEvery: at % 5 }))
      const sketch = { ...patient, sessions: 4, readers } as const
      const outcome = await runSketch(world, sketchPlan('starved-pool', seed, sketch), allComplete)
      await world.restartServers()
      return { ...outcome, injected: new Map([['starved-pool', 1]]) }
    },
  },
  {
    name: 'index-missing',
    covers: 'F26',
    what: 'the unique index of the messages is gone: a server that starts makes it again',
    async run(world, seed) {
      await world.db.collection('messages').dropIndex('session_order')
      await world.restartServers()
      const indexes = await world.db.collection('messages').indexes()
      const isThere = indexes.some(({ name, unique }) => name === 'session_order' && unique === true)
      const outcome = await runSketch(world, sketchPlan('index-missing', seed, { sessions: 1, prompt: { tokens: 5 } }))
      const violations = [...outcome.verdict.violations, ...(isThere ? [] : ['a server runs without its unique index'])]
      return { injected: new Map([['index-missing', 1]]), verdict: { ...outcome.verdict, violations } }
    },
  },
]

function codes(): FaultPlan[] {
  const failing = [189, 11_600, 91].map((code, at): FaultPlan => {
    return { atMs: 50 + at * 200, kind: 'fail-commands', how: { type: 'code', code }, commands: writes, times: 3 }
  })
  return [
    ...failing,
    { atMs: 700, kind: 'fail-commands', how: { type: 'write-concern', code: 64 }, commands: writes, times: 3 },
    { atMs: 1_100, kind: 'fail-commands', how: { type: 'write-concern', code: 91 }, commands: writes, times: 3 },
  ]
}

/** A call may take so long before it says that the database is away, beside what the machine is late, in milliseconds. */
const unavailableWithinMs = 5_500
/** For how long that answer is waited for, in milliseconds. */
const answerWithinMs = 20_000

async function loseMajority(world: World, seed: number): Promise<Outcome> {
  await world.use('patient', 300)
  const plan = sketchPlan('majority-lost', seed, { ...patient, sessions: 2, turn: { start: 'answer_lost' } })
  const primary = await world.mongo.primary()
  const secondaries = [1, 2].map((step) => (primary + step) % 3)
  await Promise.all(secondaries.map(async (index) => await world.mongo.kill(index)))
  const sessionId = crypto.randomUUID()
  const input = { sessionId, runId: crypto.randomUUID(), message: 'never confirmed', agentId: 'seeded' }
  const { answer, tookMs, lateMs } = await timed(startOnce(world.server(0).front, input, answerWithinMs))
  await world.mongo.heal()
  const outcome = await runSketch(world, plan)
  const violations = [...outcome.verdict.violations]
  if (answer.type !== 'refused' || answer.error.code !== 'UNAVAILABLE')
    violations.push(`a start without a majority was answered ${JSON.stringify(answer)}`)
  // It was not confirmed, which is not a no: should it have come to be, it must have ended.
  if (!(await waitUntilEnded(world, [sessionId], 20_000))) violations.push('an unconfirmed run never ends')
  if (tookMs - lateMs > unavailableWithinMs)
    violations.push(
      `UNAVAILABLE came after ${Math.round(tookMs)} ms, of which the machine was late ${Math.round(lateMs)}`,
    )
  return { injected: new Map([['mongod-kill', 2]]), verdict: { ...outcome.verdict, violations } }
}

interface Timed<TAnswer> {
  readonly answer: TAnswer
  readonly tookMs: number
  /** By how much timers came late meanwhile, which is what the server's timers do on this machine, too. */
  readonly lateMs: number
}

async function timed<TAnswer>(asking: Promise<TAnswer>): Promise<Timed<TAnswer>> {
  const startedAt = performance.now()
  const over = new AbortController()
  let lateMs = 0
  const watching = (async () => {
    while (!over.signal.aborted) lateMs += await latenessOf(50, over.signal)
  })()
  const answer = await asking
  const tookMs = performance.now() - startedAt
  over.abort()
  await watching
  return { answer, tookMs, lateMs }
}
