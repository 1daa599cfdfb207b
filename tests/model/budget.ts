/**
 * How much the model tests do: one number from the environment, the rest follows from it. To see a failure again, put the
 * `seed` and `path` that it printed beside `numRuns`, and its `replayPath` beside `maxCommands`.
 */
import type { Parameters } from 'fast-check'
import { modelRuns } from '../support/env.ts'

/**
 * Commands of one sequence at most; half of it on average. Long, because what breaks a log comes only after a start, a takeover,
 * an end and an archive.
 */
export const maxCommands = 100

/** What one sequence may cost on a machine that is busy with other tests, in milliseconds. */
const sequenceMs = 10_000

/** Time for the first failure to be made smaller. When it is over, the smallest so far is reported, with its seed. */
const shrinkMs = 20_000

/**
 * @param share sequences for each one that is asked for: more than 1 where a sequence costs little.
 */
export function budget(share = 1): { runs: Parameters<unknown>; timeout: number } {
  const limitMs = modelRuns * Math.max(1, share) * sequenceMs + shrinkMs
  return {
    runs: {
      numRuns: Math.ceil(modelRuns * share),
      interruptAfterTimeLimit: limitMs,
      // Too slow is red: an interrupted test has not tried what it says it tries.
      markInterruptAsFailure: true,
    },
    timeout: limitMs + shrinkMs,
  }
}
