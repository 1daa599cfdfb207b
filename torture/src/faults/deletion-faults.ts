/** F25: a session is deleted while its answer is made and read. Judged here, since the checker wants what this takes away. */
import { setTimeout as sleep } from 'node:timers/promises'
import { isTerminalEvent } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import type { Document } from 'mongodb'
import { deleteOnce, startOnce, untilAnswered } from '../clients/raw-calls.ts'
import type { Answer, StartInput } from '../clients/raw-calls.ts'
import { History } from '../clients/history.ts'
import { readRun } from '../clients/raw-reader.ts'
import { difference } from '../checker/check-run.ts'
import { promptText } from '../prompt.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world/world.ts'
import { merge } from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'

/** What happens to the process that makes the answer, right before the deletion. */
type OwnerFate = 'lives' | 'killed' | 'stopped'

const readers = 10

/** How long everything may take, in milliseconds. */
const patienceMs = 60_000

export const deletionFaults: readonly Scenario[] = [
  {
    name: 'delete-in-stream',
    covers: 'F25',
    what: 'a session is deleted while 10 tails read; its owner lives, is killed, or sleeps and wakes up behind the purge',
    async run(world, seed) {
      const outcomes: Outcome[] = []
      for (const fate of ['lives', 'killed', 'stopped'] as const) outcomes.push(await deleteInStream(world, seed, fate))
      return merge(outcomes)
    },
  },
]

async function deleteInStream(world: World, seed: number, fate: OwnerFate): Promise<Outcome> {
  // A lease has to lapse only where its holder is hurt.
  await world.use(fate === 'lives' ? 'patient' : 'short', 300)
  await world.heal()
  for (const server of world.servers) server.clearLog()
  const input = inputOf(seed, fate)
  const over = AbortSignal.timeout(patienceMs)
  const started = await untilAnswered(over, async (at) => await startOnce(world.server(at < 3 ? 0 : at).front, input))
  if (started.type !== 'data') return toOutcome(fate, [`the start was answered ${nameOf(started)}`], [])
  const histories = Array.from({ length: readers }, (_, at) => new History(input.runId, `tail-${at}`))
  const reading = histories.map(async (history, at) => {
    const endpoints = [world.server(at).front, world.server(at + 1).front]
    await readRun({ history, endpoints, signal: over })
  })
  while (!histories.every((history) => history.lastSeq > 4) && !over.aborted) await sleep(10)
  const key = await keyOf(world, input)
  const hurtAt = performance.now()
  await hurt(world, fate)
  const [violations, markedAt] = await Promise.all([
    untilPurged(world, input.sessionId, over),
    untilMarked(world, key, over),
  ])
  await Promise.all(reading)
  // A lease may have been as old as its holder lets it become.
  const mayLapse = fate !== 'lives' && markedAt - hurtAt > world.leases.leaseMs - world.leases.selfFenceMs
  violations.push(...histories.flatMap((history) => checkTail(history, histories, { mayLapse })))
  violations.push(...(await checkNothingLeft(world, input, histories)))
  await world.heal()
  violations.push(...(await checkZombie(world, { input, fate }, histories)), ...(await checkRefused(world, input)))
  return toOutcome(fate, violations, histories)
}

function inputOf(seed: number, fate: OwnerFate): StartInput {
  const random = createRandom(`delete-in-stream/${fate}/${seed}`)
  const [runId, sessionId] = [random.uuid(), `d-${random.uuid()}`]
  const message = promptText({ seed, runId, tokens: 600, paceMs: 15, fault: 'none' })
  return { runId, sessionId, message, agentId: 'seeded' }
}

async function hurt(world: World, fate: OwnerFate): Promise<void> {
  if (fate === 'killed') await world.server(0).kill()
  if (fate === 'stopped') world.server(0).hang()
}

function nameOf(answer: Answer<unknown>): string {
  return answer.type === 'refused' ? answer.error.code : answer.type
}

async function keyOf({ db }: World, { sessionId }: StartInput): Promise<string> {
  const session = await db.collection('sessions').findOne({ id: sessionId })
  return String(session?._id)
}

/** When the deletion was stored, by the harness's clock, or a little later. */
async function untilMarked({ db }: World, key: string, over: AbortSignal): Promise<number> {
  const marked = { _id: key as never, deletedAt: { $exists: true } }
  while ((await db.collection('sessions').countDocuments(marked)) === 0 && !over.aborted) await sleep(10)
  return performance.now()
}

/** Through the server that does not make the answer. */
async function untilPurged(world: World, sessionId: string, over: AbortSignal): Promise<string[]> {
  let last: Answer<unknown> = { type: 'lost' }
  while (!over.aborted) {
    const answer = await deleteOnce(world.server(1).front, sessionId)
    if (answer.type === 'data' && answer.data.isPurged) return []
    last = answer
    await sleep(50)
  }
  return [`the session was never purged: ${JSON.stringify(last)}`]
}

/** Behind the end of a run whose process lived, in milliseconds. */
const settledMs = 2_500

const gone = /^refused at \d+ with SESSION_DELETED$/

/**
 * A tail ends with `run_cancelled`, or, when it comes to the log too late, by being told that the session is deleted. Where the
 * lease of a hurt process lapsed before the deletion came, the run was interrupted by then.
 */
function checkTail(history: History, histories: readonly History[], { mayLapse }: { mayLapse: boolean }): string[] {
  const found = history.violations.filter((text) => !gone.test(text)).map((text) => `${history.reader}: ${text}`)
  const wasTold = history.violations.some((text) => gone.test(text))
  const last = JSON.parse(history.events.at(-1) ?? 'null') as RunEvent | null
  const isRight = last?.type === 'run_cancelled' || (mayLapse && last?.type === 'run_interrupted')
  if (history.end === 'terminal' && !isRight) found.push(`${history.reader}: ended by ${last?.type}`)
  if (history.end !== 'terminal' && !wasTold) found.push(`${history.reader}: never came to an end`)
  const longest = histories.toSorted((a, b) => b.lastSeq - a.lastSeq)[0]?.events ?? []
  return [...found, ...difference(history.reader, history.events, longest)]
}

/** The receipt, the keys, and not one document that names the run. */
async function checkNothingLeft(world: World, { runId, sessionId }: StartInput, histories: readonly History[]) {
  const found: string[] = []
  for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
    const documents = await world.db.collection(name).find().toArray()
    const left = documents.filter((document) => [runId, sessionId].some((id) => JSON.stringify(document).includes(id)))
    if (left.length > 0) found.push(`${name} still holds ${JSON.stringify(left[0]).slice(0, 200)}`)
  }
  found.push(...(await checkLogs(world)))
  const receipts = await world.db.collection('audit').find({ action: 'session_deleted' }).sort({ _id: 1 }).toArray()
  const counts = receipts.map((receipt) => receipt['counts'] as Document)
  const whole = histories.find((history) => history.end === 'terminal')
  const isCounted = counts.some(({ runs, messages, events }) => {
    return runs === 1 && messages === 2 && (whole === undefined || events === whole.lastSeq)
  })
  if (!isCounted) found.push(`no receipt has 1 run, 2 messages and ${whole?.lastSeq} events: ${JSON.stringify(counts)}`)
  return found
}

/** Events name no run, so a deleted run's are found by its key: one entry, without events, is what fences a zombie. */
async function checkLogs({ db }: World): Promise<string[]> {
  const deleted = await db.collection('runs').find({ status: 'deleted' }).toArray()
  const found: string[] = []
  for (const { _id } of deleted) {
    const entries = await db.collection('run_events').find({ '_id.r': _id }).toArray()
    const sizes = entries.map((entry) => (entry['e'] as unknown[]).length)
    if (sizes.length !== 1 || sizes[0] !== 0) found.push(`a deleted log has entries of ${sizes.join(', ')} events`)
    const archives = await db.collection('run_archives').countDocuments({ '_id.r': _id })
    if (archives > 0) found.push(`a deleted run has ${archives} archives`)
  }
  return deleted.length > 0 ? found : ['no run is marked as deleted']
}

/** Whatever a process that slept through it all still does: longer than its leases and writes hold. */
async function checkZombie(
  world: World,
  { input, fate }: { input: StartInput; fate: OwnerFate },
  histories: readonly History[],
): Promise<string[]> {
  await sleep(fate === 'lives' ? settledMs : world.leases.leaseMs + world.leases.selfFenceMs)
  const found = await checkNothingLeft(world, input, histories)
  return found.map((text) => `behind the waking: ${text}`)
}

/** The same start again, a new one, and both through every server. */
async function checkRefused(world: World, input: StartInput): Promise<string[]> {
  const over = AbortSignal.timeout(patienceMs)
  const starts = [input, { ...input, runId: crypto.randomUUID() }]
  const answers = await Promise.all(
    world.servers.flatMap(({ front }) =>
      starts.map((start) => untilAnswered(over, async () => await startOnce(front, start))),
    ),
  )
  return answers
    .map(nameOf)
    .filter((name) => name !== 'SESSION_DELETED')
    .map((name) => `a start was answered ${name}`)
}

function toOutcome(fate: OwnerFate, violations: readonly string[], histories: readonly History[]): Outcome {
  const events = Math.max(0, ...histories.map((history) => history.lastSeq))
  const cancelled = histories.filter((history) => {
    return history.events.slice(-1).some((text) => isTerminalEvent(JSON.parse(text) as RunEvent))
  }).length
  return {
    injected: new Map([[`delete-in-stream (owner ${fate})`, 1]]),
    verdict: {
      violations: violations.map((text) => `owner ${fate}: ${text}`),
      runs: 1,
      events,
      ends: {
        [`${fate}: tails that saw the end`]: cancelled,
        [`${fate}: tails told of the deletion`]: histories.length - cancelled,
      },
    },
  }
}
