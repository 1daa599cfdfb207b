import type { AgentEvent, ProviderUsage, RunEvent } from '../../contract/event.ts'
import type { RunMetrics, ToolMetrics } from '../../contract/metrics.ts'

/** Computes one run's own metrics from its events as they come. */
export interface MetricsCollector {
  /** @param elapsedMs time since the run's start */
  add(event: RunEvent, elapsedMs: number): void
  /** The metrics so far, with the run's whole time. */
  total(latencyMs: number): RunMetrics
}

interface Cycle {
  inputTokens: number
  outputTokens: number
  cacheReadInputTokens: number
  cacheWriteInputTokens: number
}

export function createMetricsCollector(): MetricsCollector {
  const cycles: Cycle[] = []
  const tools = new Map<string, ToolMetrics>()
  const toolNames = new Map<string, string>()
  let timeToFirstTokenMs: number | null = null
  let model: string | null = null
  let stopReason: string | null = null

  function add(event: RunEvent, elapsedMs: number): void {
    switch (event.type) {
      case 'message_start':
        model = event.message.model
        cycles.push(withUsage(emptyCycle(), event.message.usage))
        return
      case 'message_delta':
        stopReason = event.delta.stop_reason ?? stopReason
        cycles.push(withUsage(cycles.pop() ?? emptyCycle(), event.usage))
        return
      case 'content_block_delta':
        timeToFirstTokenMs ??= elapsedMs
        return
      case 'content_block':
      case 'content_block_start':
        if (event.type === 'content_block') timeToFirstTokenMs ??= elapsedMs
        if (event.content_block.type === 'tool_use') toolNames.set(event.content_block.id, event.content_block.name)
        return
      case 'tool_result':
        countTool(tools, toolNames.get(event.tool_use_id) ?? 'unknown', event)
        return
      default:
    }
  }

  function total(latencyMs: number): RunMetrics {
    const tokens = sumOf(cycles)
    const totalTokens =
      tokens.inputTokens + tokens.outputTokens + tokens.cacheReadInputTokens + tokens.cacheWriteInputTokens
    return {
      latencyMs,
      timeToFirstTokenMs,
      ...tokens,
      totalTokens,
      cycles: cycles.length,
      tools: [...tools.values()],
      model,
      stopReason,
    }
  }

  return { add, total }
}

function emptyCycle(): Cycle {
  return { inputTokens: 0, outputTokens: 0, cacheReadInputTokens: 0, cacheWriteInputTokens: 0 }
}

/** The provider's counts are cumulative within a model call, so the latest one counts. */
function withUsage(cycle: Cycle, usage: ProviderUsage): Cycle {
  return {
    inputTokens: usage.input_tokens ?? cycle.inputTokens,
    outputTokens: usage.output_tokens ?? cycle.outputTokens,
    cacheReadInputTokens: usage.cache_read_input_tokens ?? cycle.cacheReadInputTokens,
    cacheWriteInputTokens: usage.cache_creation_input_tokens ?? cycle.cacheWriteInputTokens,
  }
}

function sumOf(cycles: readonly Cycle[]): Cycle {
  return cycles.reduce(
    (sum, cycle) => ({
      inputTokens: sum.inputTokens + cycle.inputTokens,
      outputTokens: sum.outputTokens + cycle.outputTokens,
      cacheReadInputTokens: sum.cacheReadInputTokens + cycle.cacheReadInputTokens,
      cacheWriteInputTokens: sum.cacheWriteInputTokens + cycle.cacheWriteInputTokens,
    }),
    emptyCycle(),
  )
}

function countTool(
  tools: Map<string, ToolMetrics>,
  name: string,
  result: Extract<AgentEvent, { type: 'tool_result' }>,
): void {
  const before = tools.get(name) ?? { name, calls: 0, successes: 0, errors: 0, totalMs: 0 }
  tools.set(name, {
    name,
    calls: before.calls + 1,
    successes: before.successes + (result.is_error ? 0 : 1),
    errors: before.errors + (result.is_error ? 1 : 0),
    totalMs: before.totalMs + result.durationMs,
  })
}
