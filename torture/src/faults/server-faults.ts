/** F1 to F4, F20, F21: faults of the processes that write runs. */
import { allComplete, allContinued, excused, merge, planned, runSketch } from './scenario.ts'
import { sketchPlan, someInterrupted, withFound } from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'
import type { CrashPoint } from '../server/server-config.ts'
import { inlineAgentId } from '../plan/plan.ts'
import type { FaultPlan } from '../plan/plan.ts'
import type { World } from '../world/world.ts'

/** The process crashes before or after each of its first calls of the database. */
const crashPoints = Array.from({ length: 18 }, (_, at): CrashPoint => {
  return { call: 1 + Math.floor(at / 2), when: at % 2 === 0 ? 'before' : 'after' }
})

/** An answer of several seconds, so that a late kill still comes in the middle of it. */
const longAnswer = { tokens: 400, paceMs: 20 }

const killOwner: FaultPlan = { atMs: 250, kind: 'server-kill', server: 0, backAfterMs: 800 }
const stopOwner: FaultPlan = { atMs: 300, kind: 'server-term', server: 0, backAfterMs: 0 }

/** Leases that outlive the scenario, so that only the fault itself loses a run. */
const continued = { profile: 'patient', turn: { agentId: 'continuing' }, prompt: { tokens: 300, paceMs: 15 } } as const

/** Longer than a lease, with readers at the server that sleeps. */
const watched = {
  sessions: 5,
  prompt: { tokens: 800, paceMs: 8 },
  readers: [{ via: 0 }, { via: 0 }, { via: 1 }],
}

export const serverFaults: readonly Scenario[] = [
  planned(
    { name: 'kill-owner', covers: 'F1', what: 'SIGKILL of the writing process in the middle of an answer' },
    { prompt: longAnswer, faults: [killOwner] },
    someInterrupted,
  ),
  planned(
    { name: 'kill-both', covers: 'F1', what: 'SIGKILL of every server at once' },
    {
      prompt: longAnswer,
      faults: [
        { atMs: 200, kind: 'server-kill', server: 0, backAfterMs: 100 },
        { atMs: 200, kind: 'server-kill', server: 1, backAfterMs: 300 },
      ],
    },
    someInterrupted,
  ),
  planned(
    { name: 'kill-in-slow-commit', covers: 'F1 F11', what: 'SIGKILL during a slow commit' },
    {
      prompt: { tokens: 400, paceMs: 10 },
      faults: [
        { atMs: 200, kind: 'fail-commands', how: { type: 'block', ms: 900 }, commands: ['insert'], times: 3 },
        { atMs: 600, kind: 'server-kill', server: 0, backAfterMs: 100 },
      ],
    },
    someInterrupted,
  ),
  planned(
    {
      name: 'kill-and-continue',
      covers: 'F1',
      what: 'SIGKILL of the writing process: another one continues the answer',
    },
    { ...continued, faults: [killOwner] },
    allContinued,
  ),
  planned(
    { name: 'queue-through-kill', covers: 'F1 P5', what: 'SIGKILL of a process whose sessions hold queued prompts' },
    {
      sessions: 2,
      turns: 4,
      overlaps: true,
      turn: { whenBusy: 'queue', delayMs: 30 },
      faults: [killOwner],
    },
    someInterrupted,
  ),
  planned(
    { name: 'kill-inline', covers: 'F1', what: 'SIGKILL of the one process that has the agents of its runs' },
    { prompt: longAnswer, turn: { agentId: inlineAgentId }, faults: [killOwner] },
    someInterrupted,
  ),
  planned(
    { name: 'queue-inline', covers: 'F1 P5', what: 'SIGKILL of a process whose inline agents have runs that wait' },
    {
      sessions: 2,
      turns: 3,
      overlaps: true,
      turn: { agentId: inlineAgentId, whenBusy: 'queue', delayMs: 30 },
      prompt: { tokens: 100, paceMs: 20 },
      faults: [killOwner],
    },
    someInterrupted,
  ),
  planned(
    { name: 'kill-in-upload', covers: 'F1 F5', what: 'SIGKILL of servers and of mongod while clients upload images' },
    {
      sessions: 6,
      turns: 2,
      turn: { agentId: 'continuing', start: 'answer_lost' },
      hasImages: true,
      faultsFrom: 'start',
      faults: [
        { atMs: 30, kind: 'server-kill', server: 0, backAfterMs: 100 },
        { atMs: 700, kind: 'mongod-kill', node: 'primary', backAfterMs: 100 },
        { atMs: 1_800, kind: 'server-kill', server: 1, backAfterMs: 100 },
      ],
    },
  ),
  planned(
    { name: 'replace', covers: 'P5', what: 'each prompt replaces the one before it, at both servers' },
    {
      profile: 'patient',
      sessions: 2,
      turns: 4,
      overlaps: true,
      turn: { whenBusy: 'replace', delayMs: 150 },
      prompt: { tokens: 200 },
    },
    (verdict, evidence) => {
      const { ends } = verdict
      const completed = ends['completed'] ?? 0
      return completed <= 2 && completed + excused(verdict, evidence) >= 2
        ? []
        : [`the last prompt did not replace all others: ${JSON.stringify(ends)}`]
    },
  ),
  planned(
    {
      name: 'drain',
      covers: 'F2',
      what: 'SIGTERM with a long grace period: answers complete, followers reconnect, exit code 0',
    },
    { profile: 'patient', graceMs: 10_000, faults: [stopOwner] },
    allComplete,
  ),
  planned(
    {
      name: 'drain-at-once',
      covers: 'F2',
      what: 'SIGTERM without a grace period: the process releases its runs, exit code 0',
    },
    { prompt: longAnswer, graceMs: 0, faults: [stopOwner] },
    someInterrupted,
  ),
  planned(
    { name: 'drain-and-continue', covers: 'F2', what: 'SIGTERM: another process continues the answers, exit code 0' },
    { ...continued, graceMs: 0, faults: [stopOwner] },
    allContinued,
  ),
  planned(
    { name: 'zombie', covers: 'F3', what: 'SIGSTOP past the lease, then SIGCONT: the zombie writes and shows nothing' },
    { ...watched, faults: [{ atMs: 600, kind: 'server-hang', server: 0, forMs: 4_000 }] },
    someInterrupted,
  ),
  planned(
    { name: 'blocked-loop', covers: 'F4', what: 'an event loop that blocks for longer than the lease' },
    { ...watched, faults: [{ atMs: 600, kind: 'server-block', server: 0, forMs: 4_000 }] },
    someInterrupted,
  ),
  planned(
    { name: 'long-run', covers: 'P3', what: 'an answer that takes longer than a lease, without a fault' },
    { profile: 'patient', sessions: 2, prompt: { tokens: 400, paceMs: 40 } },
    allComplete,
  ),
  {
    name: 'clock-skew',
    covers: 'F20',
    what: 'one clock an hour fast, the other an hour slow: no server claims a lease early',
    async run(world, seed) {
      await world.use('patient', 300)
      const hourMs = 3_600_000
      await world.restartServers([{ clockSkewMs: hourMs }, { clockSkewMs: -hourMs }])
      const outcome = await runSketch(world, sketchPlan('clock-skew', seed, { profile: 'patient' }), allComplete)
      await world.restartServers()
      return withFound(outcome, [], new Map([['clock-skew', 2]]))
    },
  },
  {
    name: 'crash-at-every-await',
    covers: 'F21',
    what: 'the process crashes before and after its nth call of the database, for every n',
    async run(world, seed, until) {
      const outcomes: Outcome[] = []
      // Each seed begins at another point, so a slice without time for all of them tests others the next time.
      for (let at = 0; at < crashPoints.length && (at === 0 || performance.now() < until); at++) {
        const crash = crashPoints[(seed + at) % crashPoints.length]
        if (crash !== undefined) outcomes.push(await crashAt(world, seed, crash))
      }
      await world.restartServers()
      return merge(outcomes)
    },
  },
]

async function crashAt(world: World, seed: number, crash: CrashPoint): Promise<Outcome> {
  await world.use('short', 300)
  await world.restartServers([{ crashAt: crash }, {}])
  const sketch = { sessions: 1, prompt: { tokens: 5, paceMs: 60 }, turn: { via: 0 } } as const
  const plan = sketchPlan(`crash-at-every-await/${crash.call}-${crash.when}`, seed, sketch)
  const outcome = await runSketch(world, plan)
  const violations = outcome.verdict.violations.map((text) => `crash ${crash.when} call ${crash.call}: ${text}`)
  return { injected: new Map([['crash-at-await', 1]]), verdict: { ...outcome.verdict, violations } }
}
