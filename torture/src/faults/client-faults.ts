/** F13, F17 to F19, F22, F27, P5: faults between clients and servers. */
import { cancelOnce, startOnce, untilAnswered } from '../clients/raw-calls.ts'
import { inputFor, promptInput, promptText } from '../prompt.ts'
import type { FaultPlan } from '../plan/plan.ts'
import { allComplete, excused, merge, planned, runSketch, sketchPlan, withFound } from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'
import type { World } from '../world/world.ts'

/** Calls repeat for at most this time, in milliseconds. */
const callWithinMs = 30_000

const patient = { profile: 'patient' } as const

const cuts = [150, 300, 450, 600, 750, 900].map((atMs, at): FaultPlan => ({ atMs, kind: 'front-cut', server: at % 2 }))

export const clientFaults: readonly Scenario[] = [
  planned(
    { name: 'client-cuts', covers: 'F13', what: 'resets, black holes and delays between clients and servers' },
    {
      ...patient,
      readers: [{ via: 0 }, { via: 1 }, { type: 'sdk' }, { type: 'sdk', via: 1 }, { type: 'ai-sdk' }],
      prompt: { tokens: 150, paceMs: 15 },
      faults: [
        ...cuts,
        { atMs: 1_000, kind: 'front-blackhole', server: 0, forMs: 600 },
        { atMs: 1_200, kind: 'front-delay', server: 1, forMs: 600, delayMs: 80 },
      ],
    },
    allComplete,
  ),
  planned(
    { name: 'database-cuts', covers: 'F13', what: 'resets and delays between servers and MongoDB', nodes: 1 },
    {
      ...patient,
      prompt: { tokens: 150, paceMs: 15 },
      faults: [
        { atMs: 100, kind: 'back-cut', server: 0 },
        { atMs: 400, kind: 'back-cut', server: 1 },
        { atMs: 600, kind: 'back-delay', server: 0, forMs: 600, delayMs: 50 },
        { atMs: 1_300, kind: 'back-cut', server: 0 },
      ],
    },
    allComplete,
  ),
  planned(
    { name: 'database-swallowed', covers: 'F13', what: 'MongoDB no longer answers one server', nodes: 1 },
    { prompt: { tokens: 200, paceMs: 15 }, faults: [{ atMs: 500, kind: 'back-blackhole', server: 0, forMs: 3_000 }] },
  ),
  planned(
    { name: 'reconnect', covers: 'F13 F19', what: 'readers that hang up after every batch and reconnect elsewhere' },
    {
      ...patient,
      readers: [{ dropEvery: 1 }, { dropEvery: 1, via: 1 }, { dropEvery: 2 }, { dropEvery: 3, via: 1 }],
      faults: [{ atMs: 200, kind: 'clients-move' }],
    },
    allComplete,
  ),
  planned(
    { name: 'catch-up', covers: 'F19', what: 'slow and late readers, which read a fast answer from the log' },
    {
      ...patient,
      prompt: { tokens: 3_000, paceMs: 0 },
      readers: [
        { slowMs: 40 },
        { slowMs: 20, via: 1 },
        { joinAfterMs: 800 },
        { joinAfterMs: 900, via: 1, type: 'sdk' },
      ],
    },
    allComplete,
  ),
  planned(
    { name: 'reconnect-storm', covers: 'F19', what: 'a hundred readers lose their connections at once, five times' },
    {
      ...patient,
      prompt: { tokens: 120, paceMs: 20 },
      readers: Array.from({ length: 33 }, (_, at) => ({ via: at })),
      faults: [300, 600, 900, 1_200, 1_500].map((atMs, at): FaultPlan => ({ atMs, kind: 'front-cut', server: at % 2 })),
    },
    allComplete,
  ),
  {
    name: 'start-race',
    covers: 'F17',
    what: '32 starts of one run at once, and 32 runs for one session at once',
    run: async (world, seed) => merge([await raceOneRun(world, seed), await raceOneSession(world, seed)]),
  },
  {
    name: 'provider',
    covers: 'F18',
    what: 'claude() with a provider that is overloaded, breaks off, or reports an error in the middle of an answer',
    async run(world, seed) {
      const outcomes: Outcome[] = []
      for (const fault of ['none', 'overloaded', 'cut', 'error'] as const) {
        const sketch = { ...patient, sessions: 2, turn: { agentId: 'claude' }, prompt: { fault, paceMs: 5 } } as const
        const expected = fault === 'none' || fault === 'overloaded' ? allComplete : undefined
        outcomes.push(await runSketch(world, sketchPlan(`provider/${fault}`, seed, sketch), expected))
      }
      return withFound(merge(outcomes), [], new Map([['provider-fault', 6]]))
    },
  },
  planned(
    { name: 'cancel-storm', covers: 'F22', what: 'several cancels of each run, at both servers' },
    {
      ...patient,
      prompt: { tokens: 2_000, paceMs: 15 },
      turn: { cancel: { afterMs: 400, vias: [0, 1, 0, 1, 1] } },
      faults: [{ atMs: 350, kind: 'front-delay', server: 1, forMs: 500, delayMs: 100 }],
    },
    (verdict, evidence) => {
      const { ends } = verdict
      return (ends['cancelled'] ?? 0) + excused(verdict, evidence) === evidence.runs.length
        ? []
        : [`not all runs were cancelled: ${JSON.stringify(ends)}`]
    },
  ),
  { name: 'late-cancel', covers: 'F22', what: 'a cancel after the end changes nothing and says so', run: cancelLate },
  planned(
    {
      name: 'hostile-caller',
      covers: 'F27',
      what: 'another caller sends the worst bodies and floods, at both servers',
    },
    { ...patient, sessions: 4, turns: 3, prompt: { tokens: 60, paceMs: 15 }, hostileCalls: 8 },
    allComplete,
  ),
  planned(
    { name: 'busy-session', covers: 'P5', what: 'overlapping prompts in one session, at both servers' },
    { ...patient, sessions: 2, turns: 4, overlaps: true, turn: { start: 'duplicate' }, prompt: { tokens: 20 } },
    allComplete,
  ),
]

async function raceOneRun(world: World, seed: number): Promise<Outcome> {
  const plan = sketchPlan('start-race/run', seed, { ...patient, sessions: 1, prompt: { tokens: 10 } })
  await world.use('patient', 300)
  const [session] = plan.sessions
  const [turn] = session?.turns ?? []
  if (session === undefined || turn === undefined) throw new Error('The plan has a turn')
  const { prompt } = turn
  const asked = { message: promptInput(prompt), agentId: 'seeded', input: inputFor('seeded', promptText(prompt)) }
  const input = { sessionId: session.sessionId, runId: prompt.runId, ...asked }
  // A lost answer is no different answer: the client asks again.
  const over = AbortSignal.timeout(callWithinMs)
  const answers = await Promise.all(
    Array.from({ length: 32 }, (_, at) =>
      untilAnswered(over, async (tries) => await startOnce(world.server(at + tries).front, input)),
    ),
  )
  const ids = new Set(answers.map((answer) => (answer.type === 'data' ? answer.data.messageId : answer)))
  const outcome = await runSketch(world, plan, allComplete)
  const found = ids.size === 1 ? [] : [`32 starts of one run had ${ids.size} answers: ${JSON.stringify([...ids])}`]
  return withFound(outcome, found, new Map([['start-race', 32]]))
}

async function raceOneSession(world: World, seed: number): Promise<Outcome> {
  const sketch = { ...patient, sessions: 1, turns: 16, overlaps: true, prompt: { tokens: 3, paceMs: 5 }, readers: [] }
  const outcome = await runSketch(world, sketchPlan('start-race/session', seed, sketch), allComplete)
  return withFound(outcome, [], new Map([['start-race', 16]]))
}

async function cancelLate(world: World, seed: number): Promise<Outcome> {
  const plan = sketchPlan('late-cancel', seed, { ...patient, sessions: 1, prompt: { tokens: 5 } })
  const first = await runSketch(world, plan, allComplete)
  const runId = plan.sessions[0]?.turns[0]?.prompt.runId ?? ''
  const over = AbortSignal.timeout(callWithinMs)
  const answers = await Promise.all(
    world.servers.map(({ front }) => untilAnswered(over, async () => await cancelOnce(front, runId))),
  )
  const [end] = Object.keys(first.verdict.ends)
  const found = answers
    .filter((answer) => answer.type !== 'data' || !answer.data.hadEnded || answer.data.status !== end)
    .map((answer) => `a cancel after the end was answered ${JSON.stringify(answer)}`)
  return withFound(first, found, new Map([['late-cancel', 2]]))
}
