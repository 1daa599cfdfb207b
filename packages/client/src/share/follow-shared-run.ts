/** A run over a hub, as a handle reads it: once, in order, up to the terminal event. */
import { batchAfter, lastSeqOf, terminalOf } from '@verbatim/core'
import type { EventBatch, RunId, SourceFollowOptions, VerbatimError } from '@verbatim/core'
import type { Hub } from '../transport/stream-hub.ts'
import { isPassing } from '../transport/to-error.ts'
import { pause } from '../transport/wait.ts'

/** So many events wait for a slow reader; then the run is left, and asked for again from the reader's place. */
const maxWaitingEvents = 10_000

/** Between two tries after a failure that passes, when the server names no time, in milliseconds. */
const retryMs = 500

/** @throws VerbatimError what the server refuses for good; the signal's reason when it aborts */
export async function* followSharedRun(
  hub: Hub,
  { runId, after, signal, onState, starting }: SourceFollowOptions & { readonly runId: RunId },
): AsyncGenerator<EventBatch, void, void> {
  let seq = after
  onState?.('connecting')
  for (;;) {
    const begun = starting?.()
    const part = readPart(hub, { runId, after: seq, signal, onState })
    let failure: VerbatimError | null | undefined
    for (;;) {
      const next = await part.next()
      if (next.done === true) {
        failure = next.value
        break
      }
      seq = lastSeqOf(next.value)
      yield next.value
      if (terminalOf(next.value) !== undefined) return void (await part.return(null))
    }
    if (failure === null) return
    if (failure === undefined) continue // the reader was slow
    if (!isPassing(failure) && (begun === undefined || failure.code !== 'RUN_NOT_FOUND')) throw failure
    onState?.('reconnecting')
    await pause(failure.data.retryAfterMs ?? retryMs, { signal, wakes: true, until: begun })
  }
}

interface Part extends Pick<SourceFollowOptions, 'after' | 'signal'> {
  readonly runId: RunId
  readonly onState: SourceFollowOptions['onState'] | undefined
}

/** One subscription. Returns why it ended: null at the end of the run, undefined when too much waits for the reader. */
async function* readPart(
  hub: Hub,
  { runId, after, signal, onState }: Part,
): AsyncGenerator<EventBatch, VerbatimError | null | undefined, void> {
  const waiting: EventBatch[] = []
  let end: { readonly error: VerbatimError | null | undefined } | undefined
  let wake = () => {}
  let events = 0
  const leave = hub.subscribe({ type: 'run', runId, after }, (news) => {
    if (news.type === 'connection') onState?.(news.isOpen ? 'streaming' : 'reconnecting')
    if (news.type === 'closed') end ??= { error: news.error }
    if (news.type === 'run_batch' && end === undefined) {
      waiting.push(news.batch)
      events += news.batch.events.length
      if (events > maxWaitingEvents) end = { error: undefined }
    }
    if (end !== undefined) leave()
    wake()
  })
  const onAbort = () => wake()
  signal.addEventListener('abort', onAbort)
  try {
    for (let seq = after; ;) {
      signal.throwIfAborted()
      const next = waiting.shift()
      const batch = next && batchAfter(next, seq)
      if (batch !== undefined) {
        seq = lastSeqOf(batch)
        events -= batch.events.length
        yield batch
      } else if (waiting.length === 0 && end !== undefined) return end.error
      else if (waiting.length === 0) await new Promise<void>((resolve) => (wake = resolve))
    }
  } finally {
    signal.removeEventListener('abort', onAbort)
    leave()
  }
}
