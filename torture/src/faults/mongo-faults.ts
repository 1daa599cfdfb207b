/** F5 to F12, F14, F16, F24, F26: faults of MongoDB and of the connections to it. */
import { startOnce } from '../clients/raw-calls.ts'
import { waitUntilEnded } from '../checker/read-storage.ts'
import type { FailHow, FaultPlan } from '../plan/plan.ts'
import { latenessOf } from '../plan/pulse.ts'
import { allComplete, planned, runSketch, sketchPlan, withFound } from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'
import type { World } from '../world/world.ts'

const writes = ['insert', 'update', 'findAndModify', 'commitTransaction']
const patient = { profile: 'patient', prompt: { tokens: 120, paceMs: 20 } } as const

const failure = (atMs: number, how: FailHow): FaultPlan => {
  return { atMs, kind: 'fail-commands', how, commands: writes, times: 3 }
}

const failures = [
  ...[189, 11_600, 91].map((code, at) => failure(50 + at * 200, { type: 'code', code })),
  failure(700, { type: 'write-concern', code: 64 }),
  failure(1_100, { type: 'write-concern', code: 91 }),
]

const diskFull = planned(
  { name: 'disk-full', covers: 'F24', what: 'a full disk ends mongod, which then restarts with free space' },
  { ...patient, faults: [{ atMs: 500, kind: 'mongod-disk-full', node: 'primary', backAfterMs: 300 }] },
)

export const mongoFaults: readonly Scenario[] = [
  planned(
    { name: 'kill-primary', covers: 'F5', what: 'SIGKILL of the primary; another node takes over', nodes: 3 },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-kill', node: 'primary', backAfterMs: 4_000 }] },
  ),
  planned(
    { name: 'kill-mongod', covers: 'F5', what: 'SIGKILL of the only mongod, and a restart' },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-kill', node: 'primary', backAfterMs: 100 }] },
  ),
  planned(
    { name: 'mongod-abort', covers: 'F24', what: 'mongod aborts itself (SIGABRT) during writes, and restarts' },
    { ...patient, faults: [{ atMs: 500, kind: 'mongod-abort', node: 'primary', backAfterMs: 300 }] },
  ),
  // Only Linux can limit the file size of a running process.
  ...(process.platform === 'linux' ? [diskFull] : []),
  planned(
    { name: 'hung-primary', covers: 'F6', what: 'the primary hangs until another node has taken over', nodes: 3 },
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
  { name: 'majority-lost', covers: 'F8', what: 'both secondaries die: no write commits', nodes: 3, run: loseMajority },
  planned(
    { name: 'rollback', covers: 'F9', what: 'the primary dies with writes that no other node has', nodes: 3 },
    {
      ...patient,
      prompt: { tokens: 400, paceMs: 20 },
      faults: [{ atMs: 200, kind: 'lose-unreplicated', aloneMs: 1_200, backAfterMs: 5_000 }],
    },
  ),
  planned(
    { name: 'applied-then-cut', covers: 'F10', what: 'MongoDB applies writes, and the answers are lost' },
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
    { name: 'slow-database', covers: 'F11', what: 'commits that take 400 ms: larger batches, in order' },
    {
      ...patient,
      faults: [{ atMs: 200, kind: 'fail-commands', how: { type: 'block', ms: 400 }, commands: writes, times: 8 }],
    },
    allComplete,
  ),
  planned(
    { name: 'server-codes', covers: 'F12', what: 'the error codes of elections, shutdowns and lost majorities' },
    { ...patient, turns: 2, faults: failures },
    allComplete,
  ),
  planned(
    { name: 'watch-dies', covers: 'F14', what: 'the change stream fails with lost histories and cursors' },
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
    what: 'five connections to MongoDB for a hundred followers: leases are still renewed',
    async run(world, seed) {
      await world.use('patient', 300)
      const mongoOptions = world.mongo.nodes === 1 ? '&maxPoolSize=5' : ''
      await world.restartServers([{ mongoOptions }, { mongoOptions }])
      const readers = Array.from({ length: 25 }, (_, at) => ({ via: at, dropEvery: at % 5 }))
      const sketch = { ...patient, sessions: 4, readers } as const
      const outcome = await runSketch(world, sketchPlan('starved-pool', seed, sketch), allComplete)
      await world.restartServers()
      return withFound(outcome, [], new Map([['starved-pool', 1]]))
    },
  },
  {
    name: 'index-missing',
    covers: 'F26',
    what: 'the unique index of the messages is missing: a starting server creates it again',
    async run(world, seed) {
      await world.db.collection('messages').dropIndex('session_order')
      await world.restartServers()
      const indexes = await world.db.collection('messages').indexes()
      const isThere = indexes.some(({ name, unique }) => name === 'session_order' && unique === true)
      const outcome = await runSketch(world, sketchPlan('index-missing', seed, { sessions: 1, prompt: { tokens: 5 } }))
      const found = isThere ? [] : ['a server runs without its unique index']
      return withFound(outcome, found, new Map([['index-missing', 1]]))
    },
  },
]

/** A call answers UNAVAILABLE within this time and the lateness of the machine, in milliseconds. */
const unavailableWithinMs = 5_500
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
  const found: string[] = []
  if (answer.type !== 'refused' || answer.error.code !== 'UNAVAILABLE')
    found.push(`a start without a majority was answered ${JSON.stringify(answer)}`)
  // The start is in doubt: if MongoDB has committed it after all, the run ends.
  if (!(await waitUntilEnded(world, [sessionId], 20_000))) found.push('an unconfirmed run never ends')
  if (tookMs - lateMs > unavailableWithinMs)
    found.push(`UNAVAILABLE came after ${Math.round(tookMs)} ms; the machine was late by ${Math.round(lateMs)} ms`)
  return withFound(outcome, found, new Map([['mongod-kill', 2]]))
}

/** Also measures by how much timers are late meanwhile: the server's timers are late on this machine as well. */
async function timed<TAnswer>(asking: Promise<TAnswer>) {
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
