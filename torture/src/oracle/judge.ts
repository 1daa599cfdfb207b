/** The oracle: reads everything again, through every server and past them, and holds it against what was seen and expected. */
import type { ContentBlock, Message } from '@verbatim/core'
import { isDeepStrictEqual } from 'node:util'
import { query } from '../clients/raw-calls.ts'
import { Journal } from '../clients/journal.ts'
import { readRun } from '../clients/raw-reader.ts'
import type { Evidence, RunEvidence } from '../plan/evidence.ts'
import type { World } from '../world/world.ts'
import {
  answerOf,
  checkAbsentRun,
  checkContent,
  checkJournal,
  checkLog,
  checkSdkJournal,
  checkStoredRun,
  checkTerminal,
  difference,
} from './check-run.ts'
import { checkListed, checkSession } from './check-session.ts'
import { readStorage, waitUntilEnded } from './read-storage.ts'
import type { Stored, StoredRun } from './read-storage.ts'

export interface Verdict {
  readonly violations: readonly string[]
  readonly runs: number
  readonly events: number
  /** Runs by how they ended. */
  readonly ends: Readonly<Record<string, number>>
}

/** How long runs may take to end once everything is healed, beside a lease, in milliseconds. */
const endWithinMs = 15_000

export async function judge(world: World, evidence: Evidence): Promise<Verdict> {
  const sessionIds = evidence.plan.sessions.map(({ sessionId }) => sessionId)
  const violations = [...evidence.violations]
  if (!(await waitUntilEnded(world, sessionIds, endWithinMs + world.leases.leaseMs))) {
    violations.push('hanging: a run is still running long after everything was healed')
  }
  const stored = await readStorage(world, sessionIds)
  let events = 0
  for (const run of evidence.runs) {
    const found = stored.runs.get(run.runId)
    events += found?.events.length ?? 0
    const wrong = found === undefined ? checkAbsentRun(run) : await judgeRun(world, { evidence, run, stored, found })
    violations.push(...wrong.map((text) => `run ${run.runId} (${run.turn.agentId}, ${run.turn.start}): ${text}`))
  }
  for (const [sessionId, session] of stored.sessions) {
    const runs = evidence.runs.filter((run) => run.session.sessionId === sessionId)
    const listed = (await query(frontsOf(world), 'messages.list', { sessionId, limit: 100 })) as { items: Message[] }
    const wrong = [...checkSession(session, runs, stored), ...checkListed(listed.items, session.messages)]
    violations.push(...wrong.map((text) => `session ${sessionId}: ${text}`))
  }
  return { violations, runs: stored.runs.size, events, ends: endsOf(stored) }
}

interface RunCase {
  readonly evidence: Evidence
  readonly run: RunEvidence
  readonly stored: Stored
  readonly found: StoredRun
}

async function judgeRun(world: World, { evidence, run, stored, found }: RunCase): Promise<string[]> {
  const log = found.events
  if (found.hole !== undefined) return [`the stored log has a hole: ${found.hole}`]
  const logProblems = checkLog(log)
  // A log without an end is never read to its end: asking the servers would only take time.
  if (logProblems.length > 0) return logProblems
  const answer = answerOf(log)
  const messages = stored.sessions.get(run.session.sessionId)?.messages ?? []
  const message = messages.find((one) => one['runId'] === run.runId && one['role'] === 'assistant')
  return [
    ...checkContent(evidence.plan, run, answer),
    ...checkStoredRun(found, run, { log, answer }),
    ...checkTerminal(log, (message?.['content'] ?? []) as ContentBlock[]),
    ...(isDeepStrictEqual(message?.['metrics'], answer.metrics) ? [] : ["the message's metrics are not the run's"]),
    ...run.journals.flatMap((journal) => checkJournal(journal, log)),
    ...run.sdkJournals.flatMap((sdk) => checkSdkJournal(sdk, { log, answer })),
    ...(await replays(world, run.runId, log)),
  ]
}

/** The log from its beginning, through every server, and from a cursor in the middle of it. */
async function replays(world: World, runId: string, log: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    world.servers.flatMap((server, index) =>
      [0, Math.floor(log.length / 2)].map(async (after) => {
        const name = `replay from ${after} through server ${index}`
        const signal = AbortSignal.timeout(20_000)
        const journal = new Journal(runId, name, log.slice(0, after))
        await readRun({ journal, endpoints: [server.front], signal })
        return [
          ...checkJournal(journal, log),
          ...[difference(name, log, journal.events)].filter((text) => text !== undefined),
        ]
      }),
    ),
  )
  return found.flat()
}

function frontsOf(world: World) {
  return world.servers.map(({ front }) => front)
}

function endsOf(stored: Stored): Record<string, number> {
  const ends: Record<string, number> = {}
  for (const { run } of stored.runs.values()) ends[String(run['status'])] = (ends[String(run['status'])] ?? 0) + 1
  return ends
}
