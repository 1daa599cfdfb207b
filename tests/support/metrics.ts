import type { RunMetrics } from '@verbatim/core'

/** The metrics of a run that asked no model, for logs that are written by hand. */
export const noMetrics: RunMetrics = {
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
}
