/** The checker: reads everything again, from MongoDB and through every server, and compares it with the evidence. */
import type { Message } from '@verbatim/core'
import { query } from '../clients/raw-calls.ts'
import { History } from '../clients/history.ts'
import { readRun } from '../clients/raw-reader.ts'
import type { Evidence, RunEvidence } from '../plan/evidence.ts'
import type { World } from '../world/world.ts'
import { checkBytes, checkImage } from './check-attachments.ts'
import { checkContent } from './check-content.ts'
import { checkChunks } from './check-chunks.ts'
import { checkAbsentRun, checkHistory, checkLog, checkSdkHistory, checkStored } from './check-run.ts'
import { checkListed, checkSession } from './check-session.ts'
import { checkSeams, hasStarted, partsOf } from './parts.ts'
import type { Part } from './parts.ts'
import { readStorage, waitUntilEnded } from './read-storage.ts'
import type { Stored } from './read-storage.ts'

export interface Verdict {
  readonly violations: readonly string[]
  readonly runs: number
  readonly events: number
  /** Runs by how they ended. */
  readonly ends: Readonly<Record<string, number>>
  /** Whether interruptions were excused because MongoDB or the machine was too slow for leases. @default false */
  readonly wasSlow?: boolean
  /** How late MongoDB or the harness itself was in total, in milliseconds. @default 0 */
  readonly slowMs?: number
}

/** A whole log can be read again within this time, in milliseconds. */
const replayWithinMs = 45_000

/** Every run ends within this time and a lease after the healing, in milliseconds. */
const endWithinMs = 30_000

export async function checkPlan(world: World, evidence: Evidence): Promise<Verdict> {
  const sessionIds = evidence.plan.sessions.map(({ sessionId }) => sessionId)
  const violations = [...evidence.violations]
  if (!(await waitUntilEnded(world, sessionIds, endWithinMs + world.leases.leaseMs)))
    violations.push('hanging: a run has not ended long after the healing')
  const storage = await readStorage(world, sessionIds)
  const answers = evidence.runs.map((run) => ({ evidence, storage, run, parts: partsOf(storage, run) }))
  for (const answer of answers) {
    const { runId, turn } = answer.run
    const found = [...(await checkAnswer(world, answer)), ...(await checkImage(world, answer.run, answer.parts))]
    violations.push(...found.map((text) => `run ${runId} (${turn.agentId}, ${turn.start}): ${text}`))
  }
  const parts = answers.flatMap((answer) => answer.parts)
  const known = new Set(parts.map(({ runId }) => runId))
  for (const runId of storage.runs.keys()) if (!known.has(runId)) violations.push(`no client asked for run ${runId}`)
  for (const [sessionId, session] of storage.sessions) {
    const ofSession = parts.filter(({ asked }) => asked.session.sessionId === sessionId)
    const fronts = world.servers.map(({ front }) => front)
    const listed = (await query(fronts, 'messages.list', { sessionId, limit: 100 })) as { items: Message[] }
    const found = [...checkSession(session, ofSession), ...checkListed(listed.items, session.messages)]
    violations.push(...found.map((text) => `session ${sessionId}: ${text}`))
  }
  violations.push(...(await checkBytes(world)))
  const events = parts.reduce((sum, { stored }) => sum + stored.events.length, 0)
  const { wasSlow, slowMs } = evidence
  return { violations, runs: storage.runs.size, events, ends: endsOf(parts), wasSlow, slowMs }
}

interface AnswerCase {
  readonly evidence: Evidence
  readonly storage: Stored
  readonly run: RunEvidence
  readonly parts: readonly Part[]
}

async function checkAnswer(world: World, { evidence, storage, run, parts }: AnswerCase): Promise<string[]> {
  if (parts.length === 0) return checkAbsentRun(run)
  const found: string[] = []
  for (const part of parts) {
    const { events, hole } = part.stored
    const broken = hole === undefined ? checkLog(events) : [`the stored log has a hole: ${hole}`]
    // A reader of a log without an end waits in vain: replays would only take time.
    if (broken.length > 0) return [...found, ...broken]
    found.push(...checkContent(evidence, part, storage), ...checkStored(part, storage))
    found.push(...(await checkReplays(world, part.runId, events)))
  }
  const chunks = run.chunkHistories.map(async (history) => await checkChunks(history, parts))
  return [
    ...found,
    ...(await Promise.all(chunks)).flat(),
    ...checkSeams(parts),
    ...run.histories.flatMap((history) => checkHistory(history, parts[0]?.stored.events ?? [])),
    ...run.sdkHistories.flatMap((sdk) => checkSdkHistory(sdk, parts)),
  ]
}

/** Reads the log again, from its beginning and from a cursor in its middle, through every server. */
async function checkReplays(world: World, runId: string, log: readonly string[]): Promise<string[]> {
  const found = await Promise.all(
    world.servers.flatMap(({ front }, index) =>
      [0, Math.floor(log.length / 2)].map(async (after) => {
        const history = new History(runId, `replay from ${after} through server ${index}`, log.slice(0, after))
        await readRun({ history, endpoints: [front], signal: AbortSignal.timeout(replayWithinMs) })
        return checkHistory(history, log)
      }),
    ),
  )
  return found.flat()
}

function endsOf(parts: readonly Part[]): Record<string, number> {
  const ends: Record<string, number> = {}
  for (const part of parts) {
    const { status, continuedBy } = part.answer
    const end = continuedBy !== null ? 'continued' : hasStarted(part) ? status : 'cancelled in the queue'
    ends[end] = (ends[end] ?? 0) + 1
  }
  return ends
}
