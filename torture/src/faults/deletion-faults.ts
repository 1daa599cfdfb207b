/** F25: a session is deleted while its answer streams. It has its own checks, since the checker needs the deleted data. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Document } from 'mongodb'
import { deleteOnce, startOnce, untilAnswered } from '../clients/raw-calls.ts'
import type { Answer, StartInput } from '../clients/raw-calls.ts'
import { History } from '../clients/history.ts'
import { readRun } from '../clients/raw-reader.ts'
import { difference } from '../checker/check-run.ts'
import { openClient } from '../clients/sdk-reader.ts'
import { checkBytes } from '../checker/check-attachments.ts'
import { imageOf } from '../image.ts'
import { inputFor, promptInput, promptText } from '../prompt.ts'
import { createRandom } from '../random.ts'
import type { World } from '../world/world.ts'
import { merge } from './scenario.ts'
import type { Outcome, Scenario } from './scenario.ts'

/** What happens to the writing process directly before the deletion. */
type OwnerFate = 'lives' | 'killed' | 'stopped'

const readers = 10

/** The time for all calls and readers, in milliseconds. */
const withinMs = 60_000

export const deletionFaults: readonly Scenario[] = [
  {
    name: 'delete-in-stream',
    covers: 'F25',
    what: 'a session is deleted while 10 readers follow; its process lives, dies, or sleeps until after the purge',
    async run(world, seed) {
      const outcomes: Outcome[] = []
      for (const fate of ['lives', 'killed', 'stopped'] as const) outcomes.push(await deleteInStream(world, seed, fate))
      return merge(outcomes)
    },
  },
]

async function deleteInStream(world: World, seed: number, fate: OwnerFate): Promise<Outcome> {
  // Short leases only where the process dies or sleeps: there the lease must expire.
  await world.use(fate === 'lives' ? 'patient' : 'short', 300)
  await world.heal()
  for (const server of world.servers) server.clearLog()
  const { imageId, ...input } = inputOf(seed, fate)
  const over = AbortSignal.timeout(withinMs)
  await using client = openClient(world.server(0).front)
  await client.attachments.upload(new Blob([imageOf(imageId)]), { id: imageId, signal: over })
  const started = await untilAnswered(over, async (at) => await startOnce(world.server(at < 3 ? 0 : at).front, input))
  if (started.type !== 'data') return toOutcome(fate, [`the start was answered ${codeOf(started)}`], [])
  const histories = Array.from({ length: readers }, (_, at) => new History(input.runId, `reader-${at}`))
  const reading = histories.map(async (history, at) => {
    const endpoints = [world.server(at).front, world.server(at + 1).front]
    await readRun({ history, endpoints, signal: over })
  })
  while (!histories.every((history) => history.lastSeq > 4) && !over.aborted) await sleep(10)
  const session = await world.db.collection('sessions').findOne({ id: input.sessionId })
  const image = await world.db.collection('attachments').findOne({ id: imageId })
  const traces = [input.runId, input.sessionId, imageId, String(image?.['bytes'])]
  const hurtAt = performance.now()
  if (fate === 'killed') await world.server(0).kill()
  if (fate === 'stopped') world.server(0).hang()
  const [violations, deletedAt] = await Promise.all([
    untilPurged(world, input.sessionId, over),
    untilDeleted(world, session, over),
  ])
  await Promise.all(reading)
  // At the fault the lease may be as old as its process lets it become.
  const mayExpire = fate !== 'lives' && deletedAt - hurtAt > world.leases.leaseMs - world.leases.selfFenceMs
  violations.push(...histories.flatMap((history) => checkReader(history, histories, { mayExpire })))
  violations.push(...(await checkNothingLeft(world, traces, histories)))
  await world.heal()
  // A process that slept until after the purge writes nothing: this is longer than its leases and writes last.
  await sleep(fate === 'lives' ? settledMs : world.leases.leaseMs + world.leases.selfFenceMs)
  const late = await checkNothingLeft(world, traces, histories)
  violations.push(...late.map((text) => `after the process woke up: ${text}`), ...(await checkRefused(world, input)))
  return toOutcome(fate, violations, histories)
}

function inputOf(seed: number, fate: OwnerFate): StartInput & { imageId: string } {
  const random = createRandom(`delete-in-stream/${fate}/${seed}`)
  const [runId, sessionId, imageId] = [random.uuid(), `d-${random.uuid()}`, random.uuid()]
  const prompt = { seed, runId, tokens: 600, paceMs: 15, fault: 'none', imageId } as const
  const asked = { message: promptInput(prompt), agentId: 'seeded', input: inputFor('seeded', promptText(prompt)) }
  return { runId, sessionId, ...asked, imageId }
}

function codeOf(answer: Answer<unknown>): string {
  return answer.type === 'refused' ? answer.error.code : answer.type
}

/** Waits for the tombstone; returns the time by the harness's clock. */
async function untilDeleted({ db }: World, session: Document | null, over: AbortSignal): Promise<number> {
  const tombstone = { _id: session?.['_id'] as never, deletedAt: { $exists: true } }
  while ((await db.collection('sessions').countDocuments(tombstone)) === 0 && !over.aborted) await sleep(10)
  return performance.now()
}

/** Deletes through the server that does not write the answer. */
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

/** A living process does nothing more after this time, in milliseconds. */
const settledMs = 2_500

const gone = /^refused at \d+ with SESSION_DELETED$/

/**
 * A reader ends with `run_cancelled`, or with SESSION_DELETED when it comes to the log too late. If the lease expired before the
 * deletion, the run was already interrupted.
 */
function checkReader(history: History, histories: readonly History[], { mayExpire }: { mayExpire: boolean }): string[] {
  const { reader, violations, last, end } = history
  const found = violations.filter((text) => !gone.test(text)).map((text) => `${reader}: ${text}`)
  const isRight = last?.type === 'run_cancelled' || (mayExpire && last?.type === 'run_interrupted')
  if (end === 'terminal' && !isRight) found.push(`${reader}: ended by ${last?.type}`)
  if (end !== 'terminal' && !violations.some((text) => gone.test(text))) found.push(`${reader}: never came to an end`)
  const longest = histories.toSorted((a, b) => b.lastSeq - a.lastSeq)[0]?.events ?? []
  return [...found, ...difference(reader, history.events, longest)]
}

/** The audit holds a receipt, and no document names the run, the session, their image or its bytes. */
async function checkNothingLeft(world: World, traces: readonly string[], histories: readonly History[]) {
  const found: string[] = []
  for (const { name } of await world.db.listCollections({}, { nameOnly: true }).toArray()) {
    const documents = await world.db.collection(name).find().toArray()
    const left = documents.filter((document) => traces.some((id) => JSON.stringify(document).includes(id)))
    if (left.length > 0) found.push(`${name} still holds ${JSON.stringify(left[0]).slice(0, 200)}`)
  }
  found.push(...(await checkLogs(world)), ...(await checkBytes(world)))
  const receipts = await world.db.collection('audit').find({ action: 'session_deleted' }).sort({ _id: 1 }).toArray()
  const counts = receipts.map((receipt) => receipt['counts'] as Document)
  const whole = histories.find((history) => history.end === 'terminal')
  const isCounted = counts.some(({ runs, messages, events }) => {
    return runs === 1 && messages === 2 && (whole === undefined || events === whole.lastSeq)
  })
  if (!isCounted) found.push(`no receipt has 1 run, 2 messages and ${whole?.lastSeq} events: ${JSON.stringify(counts)}`)
  return found
}

/** A deleted run's log holds one entry without events, which fences a zombie. Events name no run, so its key finds them. */
async function checkLogs({ db }: World): Promise<string[]> {
  const deleted = await db.collection('runs').find({ status: 'deleted' }).toArray()
  const found: string[] = []
  for (const { _id } of deleted) {
    const entries = await db.collection('run_events').find({ '_id.r': _id }).toArray()
    const sizes = entries.map(({ e }) => (e as unknown[]).length)
    if (sizes.length !== 1 || sizes[0] !== 0) found.push(`a deleted log has entries of ${sizes.join(', ')} events`)
    const archives = await db.collection('run_archives').countDocuments({ '_id.r': _id })
    if (archives > 0) found.push(`a deleted run has ${archives} archives`)
  }
  return deleted.length > 0 ? found : ['no run has the status deleted']
}

/** Every server refuses the same start and a new one. */
async function checkRefused(world: World, input: StartInput): Promise<string[]> {
  const over = AbortSignal.timeout(withinMs)
  // The new one names no file: the session's file is gone, which would be another reason.
  const starts = [input, { ...input, runId: crypto.randomUUID(), message: 'Another prompt' }]
  const answers = await Promise.all(
    world.servers.flatMap(({ front }) =>
      starts.map((start) => untilAnswered(over, async () => await startOnce(front, start))),
    ),
  )
  return answers
    .map(codeOf)
    .filter((code) => code !== 'SESSION_DELETED')
    .map((code) => `a start after the deletion was answered ${code}`)
}

function toOutcome(fate: OwnerFate, violations: readonly string[], histories: readonly History[]): Outcome {
  const events = Math.max(0, ...histories.map((history) => history.lastSeq))
  const ended = histories.filter(({ hasEnded }) => hasEnded).length
  return {
    injected: new Map([[`delete-in-stream (owner ${fate})`, 1]]),
    verdict: {
      violations: violations.map((text) => `owner ${fate}: ${text}`),
      runs: 1,
      events,
      ends: {
        [`${fate}: readers that saw the end`]: ended,
        [`${fate}: readers that were refused`]: histories.length - ended,
      },
    },
  }
}
