/** F13, F17 to F19, F22, and sessions under load: what happens between clients and servers. */
import { cancelOnce, startOnce, untilAnswered } from '../clients/raw-calls.ts'
import { promptText } from '../prompt.ts'
import type { FaultPlan } from '../plan/plan.ts'
import { allComplete, excused, merge, planned, runSketch, sketchPlan } from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'
import type { World } from '../world/world.ts'

/** How long a call is repeated until it is answered, in milliseconds. */
const patienceMs = 30_000

const cuts = [150, 300, 450, 600, 750, 900].map((atMs, at): FaultPlan => ({ atMs, kind: 'front-cut', server: at % 2 }))

export const clientFaults: readonly Scenario[] = [
  planned(
    { name: 'client-cuts', covers: 'F13', what: 'connections of clients reset, swallowed and delayed' },
    {
      profile: 'patient',
      readers: [{ via: 0 }, { via: 1 }, { type: 'sdk' }, { type: 'sdk', via: 1 }],
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
    { name: 'database-cuts', covers: 'F13', what: 'connections to MongoDB reset and delayed', nodes: 1 },
    {
      profile: 'patient',
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
    { name: 'database-swallowed', covers: 'F13', what: 'MongoDB does not answer one server any more', nodes: 1 },
    { prompt: { tokens: 200, paceMs: 15 }, faults: [{ atMs: 500, kind: 'back-blackhole', server: 0, forMs: 3_000 }] },
  ),
  planned(
    { name: 'reconnect', covers: 'F13 F19', what: 'readers that hang up after every batch and come back elsewhere' },
    {
      profile: 'patient',
      readers: [{ dropEvery: 1 }, { dropEvery: 1, via: 1 }, { dropEvery: 2 }, { dropEvery: 3, via: 1 }],
      faults: [{ atMs: 200, kind: 'clients-move' }],
    },
    allComplete,
  ),
  planned(
    { name: 'catch-up', covers: 'F19', what: 'slow and late readers of a fast answer, who read it from the log' },
    {
      profile: 'patient',
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
    { name: 'reconnect-storm', covers: 'F19', what: 'a hundred readers lose their connection at once, five times' },
    {
      profile: 'patient',
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
    what: 'claude() against a provider that is overloaded, breaks off, or reports an error in mid-answer',
    async run(world, seed) {
      const outcomes: Outcome[] = []
      for (const fault of ['none', 'overloaded', 'cut', 'error'] as const) {
        const sketch = {
          profile: 'patient',
          sessions: 2,
          turn: { agentId: 'claude' },
          prompt: { fault, paceMs: 5 },
        } as const
        const expected = fault === 'none' || fault === 'overloaded' ? allComplete : undefined
        outcomes.push(await runSketch(world, sketchPlan(`provider/${fault}`, seed, sketch), expected))
      }
      return { ...merge(outcomes), injected: new Map([['provider-fault', 6]]) }
    },
  },
  planned(
    { name: 'cancel-storm', covers: 'F22', what: 'cancels twice, from both servers, again and again' },
    {
      profile: 'patient',
      prompt: { tokens: 2_000, paceMs: 15 },
      turn: { cancel: { afterMs: 400, vias: [0, 1, 0, 1, 1] } },
      faults: [{ atMs: 350, kind: 'front-delay', server: 1, forMs: 500, delayMs: 100 }],
    },
    (verdict, evidence) => {
      const { ends } = verdict
      return (ends['cancelled'] ?? 0) + excused(verdict, evidence) === evidence.runs.length
        ? []
        : [`not all were cancelled: ${JSON.stringify(ends)}`]
    },
  ),
  { name: 'late-cancel', covers: 'F22', what: 'a cancel behind the end changes nothing and says so', run: cancelLate },
  planned(
    { name: 'busy-session', covers: 'P5', what: 'prompts on top of one another in one session, at both servers' },
    { profile: 'patient', sessions: 2, turns: 4, overlaps: true, turn: { start: 'duplicate' }, prompt: { tokens: 20 } },
    allComplete,
  ),
]

async function raceOneRun(world: World, seed: number): Promise<Outcome> {
  const plan = sketchPlan('start-race/run', seed, { profile: 'patient', sessions: 1, prompt: { tokens: 10 } })
  await world.use('patient', 300)
  const [session] = plan.sessions
  const [turn] = session?.turns ?? []
  if (session === undefined || turn === undefined) throw new Error('The plan has a turn')
  const { prompt } = turn
  const input = { sessionId: session.sessionId, runId: prompt.runId, message: promptText(prompt), agentId: 'seeded' }
  // No answer in time is no other answer: who got none asks again.
  const over = AbortSignal.timeout(patienceMs)
  const answers = await Promise.all(
    Array.from({ length: 32 }, (_, at) =>
      untilAnswered(over, async (tries) => await startOnce(world.server(at + tries).front, input)),
    ),
  )
  const ids = new Set(
    answers.map((answer) => (answer.type === 'data' ? answer.data.messageId : JSON.stringify(answer))),
  )
  const outcome = await runSketch(world, plan, allComplete)
  const wrong = ids.size === 1 ? [] : [`32 starts of one run had ${ids.size} answers: ${[...ids].join(' ')}`]
  return {
    injected: new Map([['start-race', 32]]),
    verdict: { ...outcome.verdict, violations: [...outcome.verdict.violations, ...wrong] },
  }
}

async function raceOneSession(world: World, seed: number): Promise<Outcome> {
  const sketch = {
    profile: 'patient',
    sessions: 1,
    turns: 16,
    overlaps: true,
    prompt: { tokens: 3, paceMs: 5 },
    readers: [],
  } as const
  const outcome = await runSketch(world, sketchPlan('start-race/session', seed, sketch), allComplete)
  return { ...outcome, injected: new Map([['start-race', 16]]) }
}

async function cancelLate(world: World, seed: number): Promise<Outcome> {
  const plan = sketchPlan('late-cancel', seed, { profile: 'patient', sessions: 1, prompt: { tokens: 5 } })
  const first = await runSketch(world, plan, allComplete)
  const runId = plan.sessions[0]?.turns[0]?.prompt.runId ?? ''
  const over = AbortSignal.timeout(patienceMs)
  const told = await Promise.all(
    world.servers.map(({ front }) => untilAnswered(over, async () => await cancelOnce(front, runId))),
  )
  const [end] = Object.keys(first.verdict.ends)
  const wrong = told.flatMap((answer) => {
    const isRight = answer.type === 'data' && answer.data.hadEnded && answer.data.status === end
    return isRight ? [] : [`a cancel behind the end was answered ${JSON.stringify(answer)}`]
  })
  return {
    injected: new Map([['late-cancel', 2]]),
    verdict: { ...first.verdict, violations: [...first.verdict.violations, ...wrong] },
  }
}
