/**
 * Follow: every committed batch of a run past a seq, once and in order, until the terminal one (P1, P2).
 * The log is the truth; the tail's memory is a shortcut, and a wake-up is only a hint. Only the terminal event ends a follow.
 */
import { raceSignal } from '../../async/race-signal.ts'
import { errorOf, VerbatimError } from '../../contract/errors.ts'
import { batchAfter, isTerminalEvent, lastSeqOf } from '../../contract/event.ts'
import type { EventBatch } from '../../contract/event.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { EngineContext } from '../engine-context.ts'
import type { RunTail } from './run-tail.ts'

/** What a follower holds in memory for its reader: a reader that is stuck costs no more. */
const maxBytesPerRead = 256 * 1024

/** The first read of a log is small, because batches may be long; each next read takes up to twice as many as the one before. */
const firstRead = { maxBatches: 8, maxBytes: maxBytesPerRead } as const

function nextReadAfter(batches: readonly EventBatch[]) {
  return { maxBatches: Math.min(512, Math.max(2, 2 * batches.length)), maxBytes: maxBytesPerRead }
}

/**
 * @throws VerbatimError `RUN_NOT_FOUND` when the run does not begin in time, `INVALID_CURSOR` when `after` is past the log's
 * end, `CURSOR_EXPIRED` when the events are no longer kept, `SESSION_DELETED` when the session is gone; the signal's reason when it aborts.
 */
export async function* followRun(
  context: EngineContext,
  key: RunKey,
  { after, signal }: { after: number; signal: AbortSignal },
): AsyncGenerator<EventBatch, void, void> {
  // Acquired before the first read: what commits after that read is either read next or wakes this follower.
  const tail = context.tails.acquire(key)
  try {
    let seq = after
    let batches = await join(context, tail, { after, signal })
    while (true) {
      const reached = seq
      for (const batch of batches.filter((one) => lastSeqOf(one) > reached)) yield batch
      const last = batches.at(-1)
      if (last?.events.some(isTerminalEvent)) return
      if (last !== undefined) seq = Math.max(seq, lastSeqOf(last))
      signal.throwIfAborted()
      batches = await nextBatches(context, tail, { after: seq, signal, ...nextReadAfter(batches) })
    }
  } finally {
    context.tails.release(tail)
  }
}

/** Batches past `after`; waits for a wake-up when there are none yet, and may then be empty. */
async function nextBatches(
  { ports }: EngineContext,
  tail: RunTail,
  read: { after: number; maxBatches: number; maxBytes: number; signal: AbortSignal },
): Promise<EventBatch[]> {
  const { after, signal } = read
  const batches = tail.after(after) ?? (await ports.eventLog.read(tail.key, read))
  if (batches.length > 0) return batches
  tail.joinAt(after)
  const since = tail.after(after)
  if (since === undefined || since.length > 0) return since ?? [] // the tail has moved on meanwhile: read again
  await tail.wait(signal)
  return tail.after(after) ?? []
}

/** The first batches: from the event that the cursor names, which proves the cursor, or from the run's start. */
async function join(
  context: EngineContext,
  tail: RunTail,
  { after, signal }: { after: number; signal: AbortSignal },
): Promise<EventBatch[]> {
  const from = Math.max(0, after - 1)
  let known = tail.after(from) ?? []
  if (known.length === 0) known = await readStored(context, tail, { after: from, signal })
  if (known.length === 0) {
    if (after === 0) return await waitForStart(context, tail, signal)
    await requireStored(context, tail, signal)
    // After an election the log may seem shorter than what a client has seen of it: a cursor is not refused for that.
    known = await context.ports.eventLog.read(tail.key, { after: from, ...firstRead, isLinearizable: true, signal })
  }
  const [first, ...rest] = known
  if (first === undefined) throw cursorPastEnd()
  if (after === 0) return known
  // A terminal event at the cursor itself must still end the follow, so an emptied first batch is kept when it holds one.
  const remaining = batchAfter(first, after)
  if (remaining !== undefined) return [remaining, ...rest]
  return first.events.some(isTerminalEvent) ? [first] : rest
}

/** Reads the log of a run that is stored: of runs that are not, nothing is read one by one. */
async function readStored(
  { ports, awaitedRuns }: EngineContext,
  { key }: RunTail,
  { after, signal }: { after: number; signal: AbortSignal },
): Promise<EventBatch[]> {
  const isStored = await raceSignal(awaitedRuns.isStored(key), signal)
  return isStored ? await ports.eventLog.read(key, { after, ...firstRead, signal }) : []
}

/** @throws VerbatimError `RUN_NOT_FOUND`, which is final: the database has answered, and has no such run */
async function requireStored({ awaitedRuns }: EngineContext, { key }: RunTail, signal: AbortSignal): Promise<void> {
  if (!(await raceSignal(awaitedRuns.isStored(key, { isCaughtUp: true }), signal))) throw errorOf('RUN_NOT_FOUND')
}

function cursorPastEnd(): VerbatimError {
  return new VerbatimError('INVALID_CURSOR', "The cursor is past the end of the run's log", {
    data: { field: 'lastEventId' },
  })
}

async function waitForStart(context: EngineContext, tail: RunTail, signal: AbortSignal): Promise<EventBatch[]> {
  const { eventLog } = context.ports
  const deadline = AbortSignal.timeout(context.options.startWaitMs)
  const either = AbortSignal.any([signal, deadline])
  const leave = context.awaitedRuns.add(tail.key)
  try {
    while (true) {
      // The first events may have left the memory already; the log then answers.
      const batches =
        tail.after(0) ??
        (tail.isAwaited ? [] : await eventLog.read(tail.key, { after: 0, ...firstRead, signal: either }))
      if (batches.length > 0) return batches
      if (tail.isAwaited) await tail.wait(either)
    }
  } catch (error) {
    signal.throwIfAborted()
    if (!deadline.aborted) throw error
  } finally {
    leave()
  }
  await requireStored(context, tail, signal)
  // The last read is of the log: a hint may be lost, and after an election a run's first event may not be visible yet.
  const batches = await eventLog.read(tail.key, { after: 0, ...firstRead, isLinearizable: true, signal })
  if (batches.length === 0) throw errorOf('RUN_NOT_FOUND')
  return batches
}
