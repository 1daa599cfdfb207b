/** F1 to F4, F20, F21: what happens to the processes that write runs. */
import {
  allComplete,
  allContinued,
  excused,
  merge,
  planned,
  runSketch,
  sketchPlan,
  someInterrupted,
} from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'
import type { CrashPoint } from '../server/server-config.ts'
import type { World } from '../world/world.ts'

const crashPoints = [1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((call): CrashPoint[] => [
  { call, when: 'before' },
  { call, when: 'after' },
])

/** An answer of several seconds: a harness that comes late with its kill still comes in the middle of it. */
const longAnswer = { tokens: 400, paceMs: 20 }

export const serverFaults: readonly Scenario[] = [
  planned(
    { name: 'kill-owner', covers: 'F1', what: 'SIGKILL of the process that writes, in mid-answer' },
    { prompt: longAnswer, faults: [{ atMs: 250, kind: 'server-kill', server: 0, backAfterMs: 800 }] },
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
    { name: 'kill-in-slow-commit', covers: 'F1 F11', what: 'SIGKILL while MongoDB takes its time with a commit' },
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
    { name: 'kill-and-continue', covers: 'F1', what: 'SIGKILL of the process that writes: another one says the rest' },
    {
      // Leases that do not lapse by themselves: whatever is lost was lost by the kill.
      profile: 'patient',
      turn: { agentId: 'continuing' },
      prompt: { tokens: 300, paceMs: 15 },
      faults: [{ atMs: 250, kind: 'server-kill', server: 0, backAfterMs: 800 }],
    },
    allContinued,
  ),
  planned(
    { name: 'queue-through-kill', covers: 'F1 P5', what: 'prompts wait in their session while its process is killed' },
    {
      sessions: 2,
      turns: 4,
      overlaps: true,
      turn: { whenBusy: 'queue', delayMs: 30 },
      faults: [{ atMs: 250, kind: 'server-kill', server: 0, backAfterMs: 800 }],
    },
    someInterrupted,
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
        : [`not all but the last were replaced: ${JSON.stringify(ends)}`]
    },
  ),
  planned(
    { name: 'drain', covers: 'F2', what: 'SIGTERM with time enough: answers end, followers go elsewhere, exit code 0' },
    {
      profile: 'patient',
      graceMs: 10_000,
      faults: [{ atMs: 300, kind: 'server-term', server: 0, backAfterMs: 0 }],
    },
    allComplete,
  ),
  planned(
    { name: 'drain-hand-over', covers: 'F2', what: 'SIGTERM without time: answers are handed over, exit code 0' },
    {
      prompt: longAnswer,
      graceMs: 0,
      faults: [{ atMs: 300, kind: 'server-term', server: 0, backAfterMs: 0 }],
    },
    someInterrupted,
  ),
  planned(
    {
      name: 'drain-and-continue',
      covers: 'F2',
      what: 'SIGTERM without time: another process says the rest, exit code 0',
    },
    {
      profile: 'patient',
      graceMs: 0,
      turn: { agentId: 'continuing' },
      prompt: { tokens: 300, paceMs: 15 },
      faults: [{ atMs: 300, kind: 'server-term', server: 0, backAfterMs: 0 }],
    },
    allContinued,
  ),
  planned(
    {
      name: 'zombie',
      covers: 'F3',
      what: 'SIGSTOP past the lease, then SIGCONT: the zombie must not write or show more',
    },
    {
      sessions: 5,
      prompt: { tokens: 800, paceMs: 8 },
      readers: [{ via: 0 }, { via: 0 }, { via: 1 }],
      faults: [{ atMs: 600, kind: 'server-hang', server: 0, forMs: 4_000 }],
    },
    someInterrupted,
  ),
  planned(
    { name: 'blocked-loop', covers: 'F4', what: 'an event loop that is busy for longer than the lease' },
    {
      sessions: 5,
      prompt: { tokens: 800, paceMs: 8 },
      readers: [{ via: 0 }, { via: 0 }, { via: 1 }],
      faults: [{ atMs: 600, kind: 'server-block', server: 0, forMs: 4_000 }],
    },
    someInterrupted,
  ),
  planned(
    { name: 'long-run', covers: 'P3', what: 'an answer that takes longer than a lease, without any fault' },
    { profile: 'patient', sessions: 2, prompt: { tokens: 400, paceMs: 40 } },
    allComplete,
  ),
  {
    name: 'clock-skew',
    covers: 'F20',
    what: 'one server an hour ahead, the other an hour behind: no lease is taken early',
    async run(world, seed) {
      await world.use('patient', 300)
      const hourMs = 3_600_000
      await restartWith(world, [{ clockSkewMs: hourMs }, { clockSkewMs: -hourMs }])
      const outcome = await runSketch(world, sketchPlan('clock-skew', seed, { profile: 'patient' }), allComplete)
      await world.restartServers()
      return { ...outcome, injected: new Map([['clock-skew', 2]]) }
    },
  },
  {
    name: 'crash-at-every-await',
    covers: 'F21',
    what: 'the process ends at its n-th call of the database, before and after it, for every n',
    async run(world, seed, until) {
      const outcomes: Outcome[] = []
      // Each seed begins elsewhere: where there is no time for all of them, others come next time.
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
  await restartWith(world, [{ crashAt: crash }, {}])
  const sketch = { sessions: 1, prompt: { tokens: 5, paceMs: 60 }, turn: { via: 0 } } as const
  const plan = sketchPlan(`crash-at-every-await/${crash.call}-${crash.when}`, seed, sketch)
  const outcome = await runSketch(world, plan)
  const violations = outcome.verdict.violations.map((text) => `crash ${crash.when} call ${crash.call}: ${text}`)
  return { injected: new Map([['crash-at-await', 1]]), verdict: { ...outcome.verdict, violations } }
}

type Special = Parameters<World['servers'][number]['start']>[0]

/** Replaces the servers by such with settings of their own. */
export async function restartWith(world: World, specials: readonly Special[]): Promise<void> {
  await Promise.all(
    world.servers.map(async (server, at) => {
      await server.kill()
      await server.start(specials[at] ?? {})
    }),
  )
}
