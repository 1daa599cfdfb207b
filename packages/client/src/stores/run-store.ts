import { emptyAnswer, textOf } from '@verbatim/core'
import type { Answer, VerbatimError } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'
import type { RunHandleStatus } from '../run.ts'
import { createPublisher } from './publisher.ts'
import type { Store } from './publisher.ts'
import { borrowRun, sharedStores } from './shared.ts'
import type { Loan } from './shared.ts'

/** A run as it looks now. */
export interface RunSnapshot {
  readonly status: RunHandleStatus
  readonly answer: Answer
  /** The answer's text so far. */
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
  let loan: Loan | undefined
  let stop = () => {}
  let last = initialRun
  const publisher = createPublisher<RunSnapshot>({
    initial: initialRun,
    take: () => {
      if (loan === undefined) return last
      const { status, answer, error } = loan.handle
      last = { status, answer, error, text: answer === last.answer ? last.text : textOf(answer.content) }
      return last
    },
    onWatched() {
      loan = borrowRun(client, runId)
      stop = loan.handle.subscribe(publisher.publish)
      publisher.publish() // a handle that others opened may be further on, or over
    },
    onUnwatched() {
      stop()
      loan?.release()
      loan = undefined
    },
  })
  return {
    getSnapshot: publisher.getSnapshot,
    subscribe: publisher.subscribe,
    cancel: async () => void (await client.runs.cancel(runId)),
  }
})
