/** Requests that many send at once: on a busy machine some are not answered within the deadline of a request. */
import { isVerbatimError } from '@verbatim/core'
import type { Engine } from '@verbatim/core/server'

const maxAsks = 6

/**
 * Asks again after `UNAVAILABLE`, as a client does, at most five times. Whatever `ask` makes must have an id that
 * stays the same, so that it is made once however often it is asked for.
 */
export async function askAgain<TAnswer>(engine: Engine, ask: () => Promise<TAnswer>): Promise<TAnswer> {
  for (let asks = 1; ; asks++) {
    try {
      return await ask()
    } catch (error) {
      const isLate = isVerbatimError(error) && error.code === 'UNAVAILABLE' && !engine.draining.aborted
      if (!isLate || asks === maxAsks) throw error
    }
  }
}
