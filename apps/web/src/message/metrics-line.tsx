import { formatCount, formatDuration } from './format-figures.ts'
import type { RunMetrics } from './chat-message.ts'

/** What an answer took, in one quiet line. */
export function MetricsLine({ metrics }: { metrics: RunMetrics }) {
  return (
    <dl className="metrics" data-testid="metrics">
      {figuresOf(metrics).map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

type Figure = readonly [label: string, value: string]

function figuresOf(metrics: RunMetrics): Figure[] {
  const { timeToFirstTokenMs, latencyMs, inputTokens, outputTokens, model, stopReason } = metrics
  const figures: Figure[] = []
  if (timeToFirstTokenMs !== null) figures.push(['First token', formatDuration(timeToFirstTokenMs)])
  figures.push(['Total', formatDuration(latencyMs)])
  figures.push(['Tokens', `${formatCount(inputTokens)} in · ${formatCount(outputTokens)} out`])
  figures.push(...cacheFigure(metrics), ...toolsFigure(metrics))
  if (model !== null) figures.push(['Model', model])
  if (stopReason !== null) figures.push(['Stop', stopReason])
  return figures
}

function cacheFigure({ cacheReadInputTokens: read, cacheWriteInputTokens: written }: RunMetrics): Figure[] {
  const parts = [read > 0 ? `${formatCount(read)} read` : '', written > 0 ? `${formatCount(written)} written` : '']
  const text = parts.filter((part) => part !== '').join(' · ')
  return text === '' ? [] : [['Cache', text]]
}

function toolsFigure({ tools, cycles }: RunMetrics): Figure[] {
  const calls = tools.reduce((sum, tool) => sum + tool.calls, 0)
  return calls === 0 ? [] : [['Tools', `${formatCount(calls)} in ${formatCount(cycles)} model calls`]]
}
