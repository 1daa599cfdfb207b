import type { FinishReason } from 'ai'
import type { TerminalStatus } from '@verbatim/core'

/** Why a model ended, in the AI SDK's words. */
const reasons: Readonly<Record<string, FinishReason>> = {
  end_turn: 'stop',
  stop_sequence: 'stop',
  max_tokens: 'length',
  model_context_window_exceeded: 'length',
  tool_use: 'tool-calls',
  refusal: 'content-filter',
}

/**
 * The finish reason of an answer. A cancelled answer counts as interrupted: the AI SDK then sends nothing by itself and pauses its
 * queue, which is what the person who stopped it expects.
 */
export function toFinishReason(status: TerminalStatus, stopReason: string | null): FinishReason {
  switch (status) {
    case 'completed':
      return (stopReason === null ? undefined : reasons[stopReason]) ?? 'other'
    case 'refused':
      return 'content-filter'
    case 'failed':
      return 'error'
    case 'cancelled':
    case 'interrupted':
      return 'interrupted'
  }
}
