import { formatCount, formatDuration } from './format-metrics.ts'
import type { RunMetrics } from './chat-message.ts'

/** What an answer took, in one quiet line. */
export function MetricsLine({ metrics }: { metrics: RunMetrics }) {
  return (
    <dl className="metrics" data-testid="metrics">
      {entriesOf(metrics).map(([label, value]) => (
        <div key={label}>
          <dt>{label}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  )
}

type Entry = readonly [label: string, value: string]

function entriesOf(metrics: RunMetrics): Entry[] {
  const { timeToFirstTokenMs, latencyMs, inputTokens, outputTokens, model, stopReason } = metrics
  const entries: Entry[] = []
  if (timeToFirstTokenMs !== null) entries.push(['First token', formatDuration(timeToFirstTokenMs)])
  entries.push(['Total', formatDuration(latencyMs)])
  entries.push(['Tokens', `${formatCount(inputTokens)} in · ${formatCount(outputTokens)} out`])
  entries.push(...cacheEntry(metrics), ...toolsEntry(metrics))
  if (model !== null) entries.push(['Model', model])
  // The usual end is no news.
  if (stopReason !== null && stopReason !== 'end_turn') entries.push(['Stop', stopReason])
  return entries
}

function cacheEntry({ cacheReadInputTokens: read, cacheWriteInputTokens: written }: RunMetrics): Entry[] {
  const parts = [read > 0 ? `${formatCount(read)} read` : '', written > 0 ? `${formatCount(written)} written` : '']
  const text = parts.filter((part) => part !== '').join(' · ')
  return text === '' ? [] : [['Cache', text]]
}

function toolsEntry({ tools, cycles }: RunMetrics): Entry[] {
  const calls = tools.reduce((sum, tool) => sum + tool.calls, 0)
  return calls === 0 ? [] : [['Tools', `${formatCount(calls)} in ${formatCount(cycles)} model calls`]]
}
