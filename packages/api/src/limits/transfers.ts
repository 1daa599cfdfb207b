/**
 * Files that are sent or received at once: a few of each caller, and a bounded number of the process, because each holds about a
 * megabyte. They may take long, so they take no turn of the caller's calls; more of them wait, unread.
 */
import { VerbatimError } from '@verbatim/core'
import { KeyedLimit } from './keyed-limit.ts'

interface TransferLimits {
  readonly maxTransfersPerPrincipal: number
  readonly maxTransfers: number
}

const maxWaiting = 256

export class Transfers {
  readonly #ofCaller: KeyedLimit
  readonly #ofProcess: KeyedLimit

  constructor({ maxTransfersPerPrincipal, maxTransfers }: TransferLimits) {
    this.#ofCaller = new KeyedLimit({ maxAtOnce: maxTransfersPerPrincipal, maxWaiting, refuse: tooMany })
    this.#ofProcess = new KeyedLimit({ maxAtOnce: maxTransfers, maxWaiting, refuse: tooMany })
  }

  /** Runs `transfer` when there is room. @throws VerbatimError `RATE_LIMITED`; the signal's reason */
  async pass<TResult>(caller: string, signal: AbortSignal, transfer: () => Promise<TResult>): Promise<TResult> {
    const leaveCaller = await this.#ofCaller.enter(caller, signal)
    try {
      const leaveProcess = await this.#ofProcess.enter('', signal)
      try {
        return await transfer()
      } finally {
        leaveProcess()
      }
    } finally {
      leaveCaller()
    }
  }
}

function tooMany(): VerbatimError {
  const message = 'Too many files are sent or received at once; wait for some, then call again'
  return new VerbatimError('RATE_LIMITED', message, { data: { kind: 'transfers', retryAfterMs: 1_000 } })
}
