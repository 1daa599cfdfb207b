/** What all subscriptions share: they end with their caller's credentials, and their errors are those of the wire. */
import { childController, errorOf, VerbatimError } from '@verbatim/core'
import type { AuthedContext, CredentialsEnd } from '../context.ts'
import { reportedErrorOf, toSubscriptionError } from '../to-wire-error.ts'

/** For callers without a signal (`createCaller` without options): they stop by leaving the loop. */
const noSignal = new AbortController().signal

interface Subscription {
  /** The procedure, for the log. */
  readonly path: string
  readonly callSignal: AbortSignal | undefined
}

/** Yields what `open` yields until the caller leaves or its credentials end. */
export async function* subscribe<TItem>(
  { logger, watchCredentials }: AuthedContext,
  { path, callSignal = noSignal }: Subscription,
  open: (signal: AbortSignal) => AsyncIterable<TItem>,
): AsyncGenerator<TItem, void, void> {
  const { controller, release } = childController(callSignal)
  const unwatch = watchCredentials?.((end) => controller.abort(credentialsError(end)))
  try {
    yield* open(controller.signal)
  } catch (error) {
    if (callSignal.aborted) throw error // no reader is left
    throw toSubscriptionError(reportedErrorOf(error, { logger, where: path }))
  } finally {
    unwatch?.()
    release()
  }
}

/** After expired credentials a client comes back with fresh ones, as after a fault that passes. */
function credentialsError(end: CredentialsEnd): VerbatimError {
  if (end === 'refused') return errorOf('UNAUTHENTICATED')
  return new VerbatimError('UNAVAILABLE', 'The credentials of the stream have ended; come back with fresh ones')
}
