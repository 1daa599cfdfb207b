/** What the tests read from the environment: here, and nowhere else. */

/** The environment as it is, for what finds MongoDB and Chromium. */
export const env: Readonly<Record<string, string | undefined>> = process.env

/** True on a build server: less is printed. */
export const ci = (env['CI'] ?? '') !== ''

const asked = env['VITEST_JSON'] ?? ''

/** Where vitest's JSON report goes; undefined when none is wanted. `VITEST_JSON=1` and `CI` mean the usual place. */
export const reportFile =
  asked === '' && !ci ? undefined : asked === '' || asked === '1' ? 'test-results/vitest.json' : asked

/** How many sequences of commands each model test makes; the default fits a pull request, `VERBATIM_MODEL_RUNS=2000` a night. */
export const modelRuns = Number(env['VERBATIM_MODEL_RUNS'] ?? '') || 10

/** How many random conversations a model and a session have; the default fits a pull request, `VERBATIM_CONVERSATIONS=20000` a night. */
export const conversations = Number(env['VERBATIM_CONVERSATIONS'] ?? '') || 150
