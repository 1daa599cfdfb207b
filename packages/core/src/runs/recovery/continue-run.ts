/**
 * Whether a linked run continues an interrupted one, and what it asks the model. Continuations are finite: each run stores what
 * all runs before it have used, so an answer that kills every process that drives it stops after its budget.
 */
import type { RunStartedEvent } from '../../contract/event.ts'
import { continuationPrompt, wholeContinuationPrompt } from '../../contract/interruption.ts'
import { costOf } from '../../limits/prices.ts'
import type { RunMetrics } from '../../contract/metrics.ts'
import type { Answer } from '../../contract/reduce-events.ts'
import type { Agent, ContinuationBudget, TokenPrices } from '../../ports/agent.ts'
import type { ContinuationUsage, LinkedRun, OwnedRun } from '../../ports/run-repository.ts'
import type { EngineContext } from '../engine-context.ts'

/** What the log holds of the run that was lost. */
export interface Interrupted {
  readonly owned: OwnedRun
  readonly answer: Answer
  readonly metrics: RunMetrics
  readonly isWhole: boolean
}

export type Continuation =
  | { readonly type: 'go'; readonly next: LinkedRun; readonly agent: Agent }
  /** `reason` is undefined when the agent does not ask for continuations. */
  | { readonly type: 'stay'; readonly reason?: StayReason }

/** `inline_agent`: no other process has the agent. */
type StayReason = 'inline_agent' | 'resumptions' | 'whole' | 'continuations' | 'output_tokens' | 'cost'

export function planContinuation(context: EngineContext, interrupted: Interrupted): Continuation {
  const { run } = interrupted.owned
  const agent = context.agents.get(run.agentId)
  if (agent?.onCrash !== 'continue') return { type: 'stay' }
  if (interrupted.isWhole) return { type: 'stay', reason: 'whole' }
  const { maxContinuations = 3, maxOutputTokens = 200_000, maxCost } = agent.continuation ?? {}
  const used = addUse(interrupted, maxCost?.prices)
  const reason = whyOver({ maxContinuations, maxOutputTokens, maxCost }, used)
  return reason === undefined
    ? { type: 'go', next: toLinkedRun(context, interrupted, { used, agent }), agent }
    : { type: 'stay', reason }
}

/** @param used by all runs of the answer, with the next run counted as a continuation */
function whyOver({ maxContinuations, maxOutputTokens, maxCost }: ContinuationBudget, used: ContinuationUsage) {
  if (used.continuations > maxContinuations) return 'continuations'
  if (used.outputTokens >= maxOutputTokens) return 'output_tokens'
  return maxCost !== undefined && used.costUsd >= maxCost.usd ? 'cost' : undefined
}

function addUse(
  { owned: { continuationUsage }, answer, metrics }: Interrupted,
  prices: TokenPrices | undefined,
): ContinuationUsage {
  const outputTokens = Math.max(metrics.outputTokens, estimateTokens(answer))
  return {
    ...continuationUsage,
    continuations: continuationUsage.continuations + 1,
    outputTokens: continuationUsage.outputTokens + outputTokens,
    costUsd: continuationUsage.costUsd + (prices === undefined ? 0 : costOf({ ...metrics, outputTokens }, prices)),
  }
}

/** The provider counts at the end of a model call, which a lost run has not seen: about four characters are a token. */
function estimateTokens({ content, partialInputs }: Answer): number {
  const characters = content.map((block) => {
    switch (block.type) {
      case 'text':
        return block.text.length
      case 'thinking':
        return block.thinking.length
      case 'redacted_thinking':
        return block.data.length
      case 'tool_use':
      case 'server_tool_use':
      case 'mcp_tool_use':
        return JSON.stringify(block.input).length
      default: // what tools answered, and a summary, which is stored with its usage
        return 0
    }
  })
  return Math.ceil(characters.reduce((sum, count) => sum + count, Object.values(partialInputs).join('').length) / 4)
}

function toLinkedRun(
  context: EngineContext,
  { owned: { run } }: Interrupted,
  { used: continuationUsage, agent }: { used: ContinuationUsage; agent: Agent },
): LinkedRun {
  const { sessionId, agentId } = run
  const ids = { userMessageId: crypto.randomUUID(), messageId: crypto.randomUUID() }
  const next = { runId: crypto.randomUUID(), sessionId, agentId, ...ids }
  const startedEvent: RunStartedEvent = {
    type: 'run_started',
    ...next,
    startedAt: context.ports.clock.now().toISOString(),
  }
  return {
    ...next,
    prompt: [{ type: 'text', text: agent.output === undefined ? continuationPrompt : wholeContinuationPrompt }],
    // No caller's start has this hash, so a caller that reuses the id receives RUN_ID_REUSED.
    inputHash: `continuationOf ${run.id}`,
    processId: context.processId,
    leaseMs: context.options.leaseMs,
    startedEvent,
    continuationOf: run.id,
    continuationUsage,
  }
}
