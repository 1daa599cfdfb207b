/**
 * Which large bodies are read and handled at once: one of each caller, and a few of the process. What is parsed is several times as
 * large as its text, and takes the event loop for milliseconds; so the calls of others pass between two of one caller.
 */
import { VerbatimError } from '@verbatim/core'
import { KeyedLimit } from './keyed-limit.ts'

/** Bodies up to this size wait for nothing: they cost less than the wait. */
const smallBodyBytes = 64 * 1024
const maxWaiting = 256
/** After a large body its caller's next one waits as long as this one took, and so long at most. */
const maxRestMs = 250

export class LargeBodies {
  readonly #ofCaller: KeyedLimit
  readonly #ofProcess: KeyedLimit

  constructor({ maxLargeBodies }: { readonly maxLargeBodies: number }) {
    this.#ofCaller = new KeyedLimit({ maxAtOnce: 1, maxWaiting, refuse: tooBusy })
    this.#ofProcess = new KeyedLimit({ maxAtOnce: maxLargeBodies, maxWaiting, refuse: tooBusy })
  }

  /** Runs `serve` when there is room for so large a body of `caller`. @throws VerbatimError `UNAVAILABLE`; the signal's reason */
  async pass<TResult>(
    { caller, bodyBytes, signal }: { caller: string; bodyBytes: number; signal: AbortSignal },
    serve: () => Promise<TResult>,
  ): Promise<TResult> {
    if (bodyBytes <= smallBodyBytes) return await serve()
    const leaveCaller = await this.#ofCaller.enter(caller, signal)
    let tookMs = 0
    try {
      const leaveProcess = await this.#ofProcess.enter('', signal)
      const beganMs = performance.now()
      try {
        return await serve()
      } finally {
        tookMs = performance.now() - beganMs
        leaveProcess()
      }
    } finally {
      // As long as this one took, the event loop is for others.
      setTimeout(leaveCaller, Math.min(tookMs, maxRestMs)).unref()
    }
  }
}

function tooBusy(): VerbatimError {
  return new VerbatimError('UNAVAILABLE', 'The server reads as many large requests as it may; try again', {
    data: { retryAfterMs: 1_000 },
  })
}
