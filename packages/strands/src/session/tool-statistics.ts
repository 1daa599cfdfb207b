import type { ToolMetrics } from '@verbatim/core'
import type { AfterToolCallEvent, BeforeToolCallEvent } from '@strands-agents/sdk'

/** Counts what tools do between two answers of the model. */
export class ToolStatistics {
  readonly #startedMs = new Map<string, number>()
  #tools = new Map<string, ToolMetrics>()

  begin({ toolUse }: BeforeToolCallEvent): void {
    this.#startedMs.set(toolUse.toolUseId, performance.now())
  }

  end({ toolUse, result }: AfterToolCallEvent): void {
    const startedMs = this.#startedMs.get(toolUse.toolUseId) ?? performance.now()
    this.#startedMs.delete(toolUse.toolUseId)
    const isError = result.status === 'error'
    const { calls, successes, errors, totalMs } = this.#tools.get(toolUse.name) ?? none
    this.#tools.set(toolUse.name, {
      name: toolUse.name,
      calls: calls + 1,
      successes: successes + (isError ? 0 : 1),
      errors: errors + (isError ? 1 : 0),
      totalMs: totalMs + Math.max(0, performance.now() - startedMs),
    })
  }

  /** What was counted since the last call. */
  take(): ToolMetrics[] {
    const taken = [...this.#tools.values()]
    this.#tools = new Map()
    return taken
  }
}

const none = { calls: 0, successes: 0, errors: 0, totalMs: 0 } as const
