import { reasonOf } from '../contract/errors.ts'
import type { Logger } from '../ports/logger.ts'
import { sleep } from './sleep.ts'

export interface AttemptOptions {
  readonly signal: AbortSignal
  readonly logger: Logger
  /** The subject of the warning "... failed; retrying". */
  readonly name: string
}

/** The result of `task`; undefined when the signal has aborted, or when the task fails, which is logged. Never rejects. */
export async function attempt<TResult>(
  task: () => Promise<TResult>,
  { signal, logger, name }: AttemptOptions,
): Promise<TResult | undefined> {
  if (signal.aborted) return undefined
  try {
    return await task()
  } catch (error) {
    if (!signal.aborted) logger.warn({ reason: reasonOf(error) }, `${name} failed; retrying`)
    return undefined
  }
}

/**
 * Repeats `step` until the signal aborts. The step answers in how many milliseconds it is due again; `pauseMs` when it answers
 * nothing or fails. A step that may hang must itself end when the signal aborts. Never rejects.
 */
export async function poll(
  step: () => Promise<number | void>,
  { pauseMs, ...options }: AttemptOptions & { readonly pauseMs: number },
): Promise<void> {
  while (!options.signal.aborted) {
    const nextMs = (await attempt(step, options)) ?? pauseMs
    if (nextMs > 0) await sleep(nextMs, options.signal).catch(() => {}) // an abort ends the loop
  }
}
