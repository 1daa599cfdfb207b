import { z } from 'zod'
import { VerbatimError } from './errors.ts'

const count = z.int().nonnegative()

/** What one tool did in one run. */
export const ToolMetrics = z.strictObject({
  name: z.string(),
  calls: count,
  successes: count,
  errors: count,
  /** Time inside the tool, summed over its calls, in milliseconds. */
  totalMs: z.number().nonnegative(),
})
export type ToolMetrics = z.infer<typeof ToolMetrics>

/** A run's own metrics, never cumulative over the session. Tokens are summed over the run's model calls (cycles). */
export const RunMetrics = z.strictObject({
  /** From the run's start to its end, in milliseconds. */
  latencyMs: z.number().nonnegative(),
  /** From the run's start to the first content from the model, in milliseconds; null when none came. */
  timeToFirstTokenMs: z.number().nonnegative().nullable(),
  inputTokens: count,
  outputTokens: count,
  /** Input, output, cache read and cache write together. */
  totalTokens: count,
  cacheReadInputTokens: count,
  cacheWriteInputTokens: count,
  /** Calls of the model that answered. */
  cycles: count,
  tools: z.array(ToolMetrics),
  /** The model as the provider named it in its answer. */
  model: z.string().nullable(),
  stopReason: z.string().nullable(),
})
export type RunMetrics = z.infer<typeof RunMetrics>

/** The metrics of an answer that was made outside a run; `totalTokens` is the sum when it is left out. @throws VerbatimError `INVALID_INPUT` */
export function toRunMetrics(known: Partial<RunMetrics>): RunMetrics {
  const metrics = { ...noMetrics, ...known }
  const { inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens } = metrics
  const totalTokens = known.totalTokens ?? inputTokens + outputTokens + cacheReadInputTokens + cacheWriteInputTokens
  const parsed = RunMetrics.safeParse({ ...metrics, totalTokens })
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  const field = ['metrics', ...(issue?.path ?? [])].join('.')
  throw new VerbatimError('INVALID_INPUT', `${field}: ${issue?.message ?? 'is wrong'}`, { data: { field } })
}

/** The metrics of a run that never began. */
export const noMetrics: RunMetrics = Object.freeze({
  latencyMs: 0,
  timeToFirstTokenMs: null,
  inputTokens: 0,
  outputTokens: 0,
  totalTokens: 0,
  cacheReadInputTokens: 0,
  cacheWriteInputTokens: 0,
  cycles: 0,
  tools: [],
  model: null,
  stopReason: null,
})
