import { emptyAnswer, partialOutputOf, textOf } from '@verbatim/core'
import type {
  AgentMap,
  Answer,
  AnyOutput,
  JsonValue,
  PartialOutput,
  RunHandleStatus,
  VerbatimError,
} from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'
import { createPublisher } from './publisher.ts'
import type { Store } from './publisher.ts'
import { acquireRun, sharedStores } from './shared.ts'
import type { AcquiredRun } from './shared.ts'

/** A run as it looks now; when it was interrupted and another run continues it, that one. */
export interface RunSnapshot<TOutput = JsonValue> {
  readonly status: RunHandleStatus
  readonly answer: Answer
  /** The answer's text so far, of all its runs. */
  readonly text: string
  /** The checked output of an agent with an output schema; null until the run has completed. */
  readonly output: TOutput | null
  /** What is there of it: unchecked until `output` is there, and null for an answer in prose. */
  readonly partialOutput: PartialOutput<TOutput> | null
  readonly error: VerbatimError | null
}

/** A run to watch. */
export interface RunStore<TOutput = JsonValue> extends Store<RunSnapshot<TOutput>> {
  /** Asks the server to stop the run. @throws VerbatimError */
  readonly cancel: () => Promise<void>
}

export const initialRun: RunSnapshot & { readonly output: null; readonly partialOutput: null } = Object.freeze({
  status: 'connecting',
  answer: emptyAnswer,
  text: '',
  output: null,
  partialOutput: null,
  error: null,
})

/** The store of a run. All who watch the same run with the same client share one store and one connection. */
export function runStore<TAgents extends AgentMap>(
  client: VerbatimClient<TAgents>,
  runId: string,
): RunStore<AnyOutput<TAgents>> {
  // Which agents there are is a type alone: the store is the same for all.
  return runs(client as object as VerbatimClient, runId) as object as RunStore<AnyOutput<TAgents>>
}

const runs = sharedStores((client, runId): RunStore => {
  let acquired: AcquiredRun | undefined
  let unsubscribe = () => {}
  let last: RunSnapshot = initialRun
  const publisher = createPublisher<RunSnapshot>({
    initial: initialRun,
    take() {
      if (acquired === undefined) return last
      const { status, answer, error, segments } = acquired.handle
      const isSame = answer === last.answer
      last = {
        status,
        answer,
        error,
        text: isSame ? last.text : segments.map((one) => textOf(one.answer.content)).join(''),
        output: answer.output,
        partialOutput: isSame ? last.partialOutput : (partialOutputOf(answer) ?? null),
      }
      return last
    },
    onWatched() {
      acquired = acquireRun(client, runId)
      unsubscribe = acquired.handle.subscribe(publisher.publish)
      publisher.publish() // a handle that another store opened may be further on, or at its end
    },
    onUnwatched() {
      unsubscribe()
      acquired?.release()
      acquired = undefined
    },
  })
  return {
    getSnapshot: publisher.getSnapshot,
    subscribe: publisher.subscribe,
    cancel: async () => void (await (acquired?.handle.cancel() ?? client.runs.cancel(runId))),
  }
})
