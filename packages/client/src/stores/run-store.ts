import { emptyAnswer, textOf } from '@verbatim/core'
import type { Answer, RunHandleStatus, VerbatimError } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'
import { createPublisher } from './publisher.ts'
import type { Store } from './publisher.ts'
import { acquireRun, sharedStores } from './shared.ts'
import type { AcquiredRun } from './shared.ts'

/** A run as it looks now; when it was interrupted and another run continues it, that one. */
export interface RunSnapshot {
  readonly status: RunHandleStatus
  readonly answer: Answer
  /** The answer's text so far, of all its runs. */
  readonly text: string
  readonly error: VerbatimError | null
}

/** A run to watch. */
export interface RunStore extends Store<RunSnapshot> {
  /** Asks the server to stop the run. @throws VerbatimError */
  readonly cancel: () => Promise<void>
}

export const initialRun: RunSnapshot = Object.freeze({
  status: 'connecting',
  answer: emptyAnswer,
  text: '',
  error: null,
})

/** The store of a run. All who watch the same run with the same client share one store and one connection. */
export const runStore: (client: VerbatimClient, runId: string) => RunStore = sharedStores((client, runId) => {
  let acquired: AcquiredRun | undefined
  let unsubscribe = () => {}
  let last = initialRun
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
