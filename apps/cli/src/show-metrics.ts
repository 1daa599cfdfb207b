import type { RunMetrics } from '@verbatim/core'

/** A run's metrics in one line. */
export function showMetrics(metrics: RunMetrics): string {
  const { model, inputTokens, outputTokens, timeToFirstTokenMs, latencyMs, tools } = metrics
  const parts = [
    model,
    `${count(inputTokens)} tokens in, ${count(outputTokens)} out`,
    timeToFirstTokenMs === null ? null : `first token ${showMs(timeToFirstTokenMs)}`,
    showMs(latencyMs),
    ...tools.map((tool) => `${tool.name} ×${tool.calls}`),
  ]
  return parts.filter((part) => part !== null).join(' · ')
}

function showMs(ms: number): string {
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

function count(value: number): string {
  return value.toLocaleString('en-US')
}
