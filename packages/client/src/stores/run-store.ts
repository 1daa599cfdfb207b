import { emptyAnswer, textOf } from '@verbatim/core'
import type { Answer, VerbatimError } from '@verbatim/core'
import type { VerbatimClient } from '../create-client.ts'
import type { RunHandleStatus } from '../run.ts'
import { createPublisher } from './publisher.ts'
import type { Store } from './publisher.ts'
import { borrowRun, sharedStores } from './shared.ts'
import type { Loan } from './shared.ts'

/** A run as it looks now; when it was interrupted and the server goes on with another run, that one. */
export interface RunSnapshot {
  readonly status: RunHandleStatus
  readonly answer: Answer
  /** The answer's text so far, with that of the runs before which it goes on from. */
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
  let textBefore = ''
  const watch = (id: string): void => {
    loan = borrowRun(client, id)
    stop = loan.handle.subscribe(update)
    update() // a handle that others opened may be further on, or over
  }
  const update = (): void => {
    const { continuedBy, content } = loan?.handle.answer ?? emptyAnswer
    publisher.publish()
    if (continuedBy === null) return
    textBefore += textOf(content)
    leave()
    watch(continuedBy)
  }
  const leave = (): void => {
    stop()
    loan?.release()
    loan = undefined
  }
  const publisher = createPublisher<RunSnapshot>({
    initial: initialRun,
    take: () => {
      if (loan === undefined) return last
      const { status, answer, error } = loan.handle
      last = { status, answer, error, text: answer === last.answer ? last.text : textBefore + textOf(answer.content) }
      return last
    },
    onWatched() {
      textBefore = ''
      watch(runId)
    },
    onUnwatched: leave,
  })
  return {
    getSnapshot: publisher.getSnapshot,
    subscribe: publisher.subscribe,
    cancel: async () => void (await (loan?.handle.cancel() ?? client.runs.cancel(runId))),
  }
})
