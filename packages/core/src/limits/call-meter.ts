/** The model calls of one run as its budget sees them: each is counted once, and the next is made only while there is a budget. */
import { reasonOf } from '../contract/errors.ts'
import type { AgentEvent, ContentDelta, ProviderUsage } from '../contract/event.ts'
import type { Owner } from '../contract/principal.ts'
import type { Logger } from '../ports/logger.ts'
import type { Budgets } from './budgets.ts'

export interface CallMeter {
  /** Before the agent is first pulled. @throws VerbatimError `BUDGET_EXCEEDED`, `UNAVAILABLE`; the signal's reason when it aborts */
  begin(signal: AbortSignal): Promise<void>
  /** After each event, before the agent is pulled again. @throws as {@link begin} */
  after(event: AgentEvent, signal: AbortSignal): Promise<void>
  /** Counts a call that was broken off, by what came of it. Never rejects. */
  close(): Promise<void>
}

/** For a run without a budget. */
export const noMeter: CallMeter = {
  begin: () => Promise.resolve(),
  after: () => Promise.resolve(),
  close: () => Promise.resolve(),
}

interface OpenCall {
  readonly model: string
  usage: ProviderUsage
  /** Of what the model has written so far. */
  characters: number
  stopReason: string | null
}

/** The provider counts at a call's end; of a call that was broken off, about four characters are a token. */
const charactersPerToken = 4

export interface MeterOptions {
  readonly budgets: Budgets
  readonly owner: Owner
  readonly logger: Logger
  /** When to stop trying to reach the ledger; asked for each time. */
  readonly deadline: () => AbortSignal
}

export class BudgetMeter implements CallMeter {
  readonly #options: MeterOptions
  #open: OpenCall | undefined
  /** True while the next call needs no look at the budget. */
  #isCleared = false

  constructor(options: MeterOptions) {
    this.#options = options
  }

  async begin(signal: AbortSignal): Promise<void> {
    const { budgets, owner, deadline } = this.#options
    await budgets.requireBudget(owner, { deadline: deadline(), signal })
    this.#isCleared = true
  }

  async after(event: AgentEvent, signal: AbortSignal): Promise<void> {
    switch (event.type) {
      case 'message_start':
        await this.#count()
        this.#open = { ...event.message, characters: 0, stopReason: null }
        // An agent may go on where its model had said its last word: then the call has begun, and is the one that may be too many.
        if (!this.#isCleared) await this.begin(signal)
        this.#isCleared = false
        return
      case 'content_block_delta':
        if (this.#open !== undefined) this.#open.characters += lengthOf(event.delta)
        return
      case 'message_delta':
        if (this.#open !== undefined) learn(this.#open, event)
        return
      case 'message_stop':
        return await this.#stop(signal)
      // The agent asks its provider again.
      case 'run_retrying':
        return await this.begin(signal)
      default:
    }
  }

  async close(): Promise<void> {
    const { logger } = this.#options
    try {
      await this.#count()
    } catch (error) {
      const reason = reasonOf(error)
      logger.warn({ reason }, 'The use of a model call is not in the ledger yet; the next call stores it')
    }
  }

  async #stop(signal: AbortSignal): Promise<void> {
    const { stopReason } = this.#open ?? {}
    await this.#count()
    if (stopReason === 'tool_use' || stopReason === 'pause_turn') await this.begin(signal)
  }

  async #count(): Promise<void> {
    if (this.#open === undefined) return
    const { budgets, owner, deadline } = this.#options
    const { model, usage, characters } = this.#open
    this.#open = undefined
    const use = {
      model,
      inputTokens: usage.input_tokens ?? 0,
      outputTokens: Math.max(usage.output_tokens ?? 0, Math.ceil(characters / charactersPerToken)),
      cacheReadInputTokens: usage.cache_read_input_tokens ?? 0,
      cacheWriteInputTokens: usage.cache_creation_input_tokens ?? 0,
    }
    await budgets.count(owner, use, deadline())
  }
}

function learn(call: OpenCall, { delta, usage }: Extract<AgentEvent, { type: 'message_delta' }>): void {
  call.usage = { ...call.usage, ...usage }
  call.stopReason = delta.stop_reason ?? call.stopReason
  // What the provider has counted needs no estimate.
  if ((usage.output_tokens ?? 0) > 0) call.characters = 0
}

function lengthOf(delta: ContentDelta): number {
  switch (delta.type) {
    case 'text_delta':
      return delta.text.length
    case 'thinking_delta':
      return delta.thinking.length
    case 'input_json_delta':
      return delta.partial_json.length
    default:
      return 0
  }
}
