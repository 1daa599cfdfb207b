/**
 * All that one stream of `sessions.follow` brings: states of sessions, and batches of runs. In: what the caller follows. Out: one
 * sequence, in which each run is once and in order (P2) and each state newer than the one before. A source is asked for its next
 * item only after its last one was taken, so a slow reader costs one item a source.
 */
import { childController, isTransient, isVerbatimError } from '@verbatim/core'
import type { FollowedUpdate, FollowSessionsInput } from '@verbatim/core'
import type { AuthedContext } from '../context.ts'

type FollowedRun = FollowSessionsInput['runs'][number]

export async function* followAll(
  { engine, owner }: Pick<AuthedContext, 'engine' | 'owner'>,
  { sessionIds, list, runs }: FollowSessionsInput,
  callSignal: AbortSignal,
): AsyncGenerator<FollowedUpdate, void, void> {
  const { controller, release } = childController(callSignal)
  const { signal } = controller
  const unique = new Map(runs.map((run) => [run.runId, run]))
  const sources: AsyncGenerator<FollowedUpdate, void, void>[] = [
    engine.sessions.follow(owner, { sessionIds, list, signal }),
    ...[...unique.values()].map((run) => followOne(engine.runs, owner, { run, signal })),
  ]
  try {
    yield* merge(sources)
  } finally {
    controller.abort()
    release()
  }
}

/** A run that cannot be followed closes alone; after a fault that passes the whole stream ends, and the client comes back. */
async function* followOne(
  runs: AuthedContext['engine']['runs'],
  owner: AuthedContext['owner'],
  { run: { runId, lastEventId }, signal }: { run: FollowedRun; signal: AbortSignal },
): AsyncGenerator<FollowedUpdate, void, void> {
  try {
    for await (const batch of runs.follow(owner, runId, { after: lastEventId ?? undefined, signal })) {
      yield { type: 'run_batch', runId, ...batch }
    }
    yield { type: 'run_closed', runId, error: null }
  } catch (error) {
    if (!isVerbatimError(error) || isTransient(error)) throw error
    yield { type: 'run_closed', runId, error: error.toWire() }
  }
}

interface Answered<TItem> {
  readonly source: AsyncGenerator<TItem, void, void>
  /** @throws what the source has thrown */
  readonly take: () => IteratorResult<TItem, void>
}

/** One sequence of all items, in the order in which they come: a source that always has something keeps no other waiting. */
async function* merge<TItem>(sources: readonly AsyncGenerator<TItem, void, void>[]): AsyncGenerator<TItem, void, void> {
  const answered: Answered<TItem>[] = []
  let wake = () => {}
  // Not `Promise.race`: each call would leave a listener at the sources that stay silent.
  const ask = async (source: AsyncGenerator<TItem, void, void>) => {
    const [settled] = await Promise.allSettled([source.next()])
    const take = () => {
      if (settled.status === 'rejected') throw settled.reason
      return settled.value
    }
    answered.push({ source, take })
    wake()
  }
  for (const source of sources) void ask(source)
  for (let open = sources.length; open > 0;) {
    const next = answered.shift()
    if (next === undefined) {
      await new Promise<void>((resolve) => (wake = resolve))
      continue
    }
    const result = next.take()
    if (result.done === true) open--
    else {
      yield result.value
      void ask(next.source)
    }
  }
}
