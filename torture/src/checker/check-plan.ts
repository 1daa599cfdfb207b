/** The checker: reads everything again, through every server and past them, and holds it against what was seen and expected. */
import type { ContentBlock, Message } from '@verbatim/core'
import { isDeepStrictEqual } from 'node:util'
import { query } from '../clients/raw-calls.ts'
import { History } from '../clients/history.ts'
import { readRun } from '../clients/raw-reader.ts'
import type { Evidence, RunEvidence } from '../plan/evidence.ts'
import type { World } from '../world/world.ts'
import { checkContent } from './check-content.ts'
import {
  checkAbsentRun,
  checkHistory,
  checkLog,
  checkSdkHistory,
  checkStoredRun,
  checkTerminal,
  difference,
} from './check-run.ts'
import { checkListed, checkSession } from './check-session.ts'
import { checkSeams, partsOf, wasAsked } from './parts.ts'
import type { Part } from './parts.ts'
import { readStorage, waitUntilEnded } from './read-storage.ts'
import type { Stored } from './read-storage.ts'

export interface Verdict {
  readonly violations: readonly string[]
  readonly runs: number
  readonly events: number
  /** Runs by how they ended. */
  readonly ends: Readonly<Record<string, number>>
  /** Whether interruptions were excused, since MongoDB or the machine was too slow for leases. @default false */
  readonly wasSlow?: boolean
  /** For how long MongoDB or the harness itself was late, in milliseconds. @default 0 */
  readonly slowMs?: number
}

/** How long a log that is whole may take to be read again, in milliseconds. */
const replayWithinMs = 45_000

/** How long runs may take to end once everything is healed, beside a lease, in milliseconds. */
const endWithinMs = 30_000

export async function checkPlan(world: World, evidence: Evidence): Promise<Verdict> {
  const sessionIds = evidence.plan.sessions.map(({ sessionId }) => sessionId)
  const violations = [...evidence.violations]
  if (!(await waitUntilEnded(world, sessionIds, endWithinMs + world.leases.leaseMs))) {
    violations.push('hanging: a run has not ended long after everything was healed')
  }
  const stored = await readStorage(world, sessionIds)
  const answers = evidence.runs.map((run) => ({ run, parts: partsOf(stored, run) }))
  for (const { run, parts } of answers) {
    const wrong = await checkAnswer(world, { evidence, stored, run, parts })
    violations.push(...wrong.map((text) => `run ${run.runId} (${run.turn.agentId}, ${run.turn.start}): ${text}`))
  }
  const parts = answers.flatMap((answer) => answer.parts)
  const known = new Set(parts.map(({ runId }) => runId))
  for (const runId of stored.runs.keys()) if (!known.has(runId)) violations.push(`nobody asked for run ${runId}`)
  for (const [sessionId, session] of stored.sessions) {
    const ofSession = parts.filter(({ asked }) => asked.session.sessionId === sessionId)
    const listed = (await query(frontsOf(world), 'messages.list', { sessionId, limit: 100 })) as { items: Message[] }
    const wrong = [...checkSession(session, ofSession), ...checkListed(listed.items, session.messages)]
    violations.push(...wrong.map((text) => `session ${sessionId}: ${text}`))
  }
  const events = parts.reduce((sum, { found }) => sum + found.events.length, 0)
  const { wasSlow, slowMs } = evidence
  return { violations, runs: stored.runs.size, events, ends: endsOf(parts), wasSlow, slowMs }
}

interface AnswerCase {
  readonly evidence: Evidence
  readonly stored: Stored
  readonly run: RunEvidence
  readonly parts: readonly Part[]
}

async function checkAnswer(world: World, { evidence, stored, run, parts }: AnswerCase): Promise<string[]> {
  if (parts.length === 0) return checkAbsentRun(run)
  const found: string[] = []
  for (const part of parts) {
    const { events, hole } = part.found
    const broken = hole === undefined ? checkLog(events) : [`the stored log has a hole: ${hole}`]
    // A log without an end is never read to its end: asking the servers would only take time.
    if (broken.length > 0) return [...found, ...broken]
    const wrong = [...checkContent(evidence, part, stored), ...checkStored(part, stored)]
    found.push(...wrong, ...(await replays(world, part.runId, events)))
  }
  return [
    ...found,
    ...checkSeams(parts),
    ...run.histories.flatMap((history) => checkHistory(history, parts[0]?.found.events ?? [])),
    ...run.sdkHistories.flatMap((sdk) => checkSdkHistory(sdk, parts)),
  ]
}

/** Run and message as they are stored. */
function checkStored(part: Part, stored: Stored): string[] {
  const { asked, at, runId, answer } = part
  const messages = stored.sessions.get(asked.session.sessionId)?.messages ?? []
  const message = messages.find((one) => one['runId'] === runId && one['role'] === 'assistant')
  const isOther = wasAsked(part) && !isDeepStrictEqual(message?.['metrics'], answer.metrics)
  return [
    // Callers were told of the first part alone: they did not start the others.
    ...checkStoredRun(part, at === 0 ? asked : { acks: [], cancels: [] }),
    ...checkTerminal(part, (message?.['content'] ?? []) as ContentBlock[]),
    ...(isOther ? ["the message's metrics are not the run's"] : []),
  ]
}

/** The log from its beginning, through every server, and from a cursor in the middle of it. */
async function replays(world: World, runId: string, log: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    world.servers.flatMap((server, index) =>
      [0, Math.floor(log.length / 2)].map(async (after) => {
        const name = `replay from ${after} through server ${index}`
        const signal = AbortSignal.timeout(replayWithinMs)
        const history = new History(runId, name, log.slice(0, after))
        await readRun({ history, endpoints: [server.front], signal })
        return [
          ...checkHistory(history, log),
          ...[difference(name, log, history.events)].filter((text) => text !== undefined),
        ]
      }),
    ),
  )
  return found.flat()
}

function frontsOf(world: World) {
  return world.servers.map(({ front }) => front)
}

function endsOf(parts: readonly Part[]): Record<string, number> {
  const ends: Record<string, number> = {}
  for (const part of parts) {
    const { status, continuedBy } = part.answer
    const end = continuedBy !== null ? 'continued' : wasAsked(part) ? status : 'cancelled in the queue'
    ends[end] = (ends[end] ?? 0) + 1
  }
  return ends
}
