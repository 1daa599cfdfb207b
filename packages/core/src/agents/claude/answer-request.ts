/**
 * The agent's loop: calls the model, runs the tools it asks for, and calls it again until it has nothing more to ask.
 * In: a conversation that ends with a user message. Out: the events of every model call and every tool, in order.
 */
import type { AgentEvent } from '../../contract/event.ts'
import type { Message } from '../../contract/message.ts'
import type { AgentRequest } from '../../ports/agent.ts'
import type { ClaudeClient, ClaudeOptions } from './claude-options.ts'
import { providerError } from './map-provider-error.ts'
import { runTools } from './run-tools.ts'
import type { ToolResultEvent } from './run-tools.ts'
import { streamCycle } from './stream-cycle.ts'
import type { Turn } from './to-claude-messages.ts'
import { toClaudeRequest } from './to-claude-request.ts'

/** A paused answer goes on by a user message: a conversation that ends with the answer would be a prefill. */
const pausePrompt: Turn = { role: 'user', content: [{ type: 'text', text: 'Continue.' }] }

/** @throws VerbatimError `PROVIDER_ERROR`, `PROVIDER_REFUSED`, `INVALID_INPUT`; the signal's reason when it aborts */
export async function* answerRequest(
  options: ClaudeOptions & { readonly client: ClaudeClient },
  request: AgentRequest,
  signal: AbortSignal,
): AsyncGenerator<AgentEvent, void, void> {
  const turns: Turn[] = [...steadyWindow(request.messages)]
  for (let cycle = 1; cycle <= options.maxCycles; cycle++) {
    const { content, stopReason } = yield* streamCycle(options, toClaudeRequest(options, turns), signal)
    turns.push({ role: 'assistant', content: [...content] })
    if (stopReason === 'pause_turn') {
      turns.push(pausePrompt)
      continue
    }
    const calls = content.filter((block) => block.type === 'tool_use')
    if (stopReason !== 'tool_use' || calls.length === 0) return
    if (cycle === options.maxCycles) break // nobody would read what the tools answer
    const results = yield* runTools(options, calls, { request, signal })
    turns.push(toResultTurn(results))
  }
  throw providerError('max_cycles')
}

/**
 * The window of a long session moves on with every turn, and a conversation whose start changes misses the provider's prompt
 * cache. So its start moves in steps of a quarter of the window: of four turns, three find the start of the one before.
 */
export function steadyWindow(messages: readonly Message[]): readonly Message[] {
  const oldestSeq = messages[0]?.seq ?? 1
  if (oldestSeq === 1) return messages
  const step = Math.max(1, Math.floor(messages.length / 4))
  const startSeq = Math.ceil(oldestSeq / step) * step
  return messages.filter((message) => message.seq >= startSeq)
}

function toResultTurn(results: readonly ToolResultEvent[]): Turn {
  return { role: 'user', content: results.map(({ durationMs: _durationMs, ...block }) => block) }
}
