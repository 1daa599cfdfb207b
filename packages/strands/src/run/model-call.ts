/**
 * One call of the model, from Strands' stream to the engine's events: `message_start` to `message_stop`.
 * Strands says a block's kind only with its first delta, so a block begins there.
 */
import { isBlank } from '@verbatim/core/agent-kit'
import type { AgentEvent, ContentBlock, JsonValue, ProviderUsage } from '@verbatim/core'
import type {
  ContentBlockDelta,
  Message,
  ModelStreamEvent,
  ReasoningContentDelta,
  StopReason,
  Usage,
} from '@strands-agents/sdk'
import { toContent } from '../content/from-strands.ts'
import { readGuardrailTrace } from '../content/guardrail.ts'
import type { Intervention } from '../content/guardrail.ts'
import { toStopReason } from './stop-reason.ts'

type Opened = 'text' | 'thinking' | 'tool_use'

/** A call that goes on. */
export class ModelCall {
  readonly #model: string
  #blocks = 0
  #opened: Opened | undefined
  #hasBegun = false
  #usage: ProviderUsage = {}
  #replacement: string | undefined
  #stopReason: StopReason | undefined
  #intervention: Intervention = { action: 'none', reasons: [] }
  #isRedacted = false
  #isVisible = false

  constructor(model: string) {
    this.#model = model
  }

  /** Whether a client may have seen something of the call. */
  get hasContent(): boolean {
    return this.#blocks > 0
  }

  /** Whether the call has text that a reader sees. */
  get isVisible(): boolean {
    return this.#isVisible
  }

  /** What a guardrail did to the call; undefined when none intervened. */
  get intervention(): Intervention | undefined {
    const isBlocked = this.#isRedacted || this.#stopReason === 'guardrailIntervened'
    if (!isBlocked && this.#intervention.action === 'none') return undefined
    // Without a trace, all that is known is that the guardrail took the answer.
    return this.#intervention.action === 'none' ? { ...this.#intervention, action: 'blocked' } : this.#intervention
  }

  *add(event: ModelStreamEvent): Generator<AgentEvent, void, void> {
    switch (event.type) {
      case 'modelMessageStartEvent':
        yield* this.#begin()
        return
      case 'modelContentBlockStartEvent':
        if (event.start === undefined) return
        yield* this.#open({ type: 'tool_use', id: event.start.toolUseId, name: event.start.name, input: {} })
        return
      case 'modelContentBlockDeltaEvent':
        yield* this.#addDelta(event.delta)
        return
      case 'modelContentBlockStopEvent':
        yield* this.#close()
        return
      case 'modelMessageStopEvent':
        this.#stopReason = event.stopReason
        return
      case 'modelMetadataEvent':
        this.#usage = toUsage(event.usage)
        this.#intervention = readGuardrailTrace(event.trace)
        return
      case 'modelRedactionEvent':
        this.#isRedacted = true
        this.#replacement ??= event.outputRedaction?.replaceContent
    }
  }

  /** The end of a call whose `message` is whole; a message that did not come as a stream is said here. */
  *end(message: Message, stopReason: StopReason): Generator<AgentEvent, void, void> {
    yield* this.#begin()
    yield* this.#close()
    this.#stopReason = stopReason
    if (this.#blocks === 0) for (const block of toContent(message.content)) yield* this.#whole(block)
    if (this.#replacement !== undefined) yield* this.#replace(this.#replacement)
    yield* this.#stop()
  }

  /** The end of a call that has used all its tokens: what it has said is the answer. Nothing when it never said so. */
  *endCut(): Generator<AgentEvent, void, void> {
    if (this.#stopReason !== 'maxTokens' || !this.#isVisible) return
    yield* this.#close()
    yield* this.#stop()
  }

  *#begin(): Generator<AgentEvent, void, void> {
    if (this.#hasBegun) return
    this.#hasBegun = true
    yield { type: 'message_start', message: { model: this.#model, usage: {} } }
  }

  *#open(block: Extract<ContentBlock, { type: Opened }>): Generator<AgentEvent, void, void> {
    yield* this.#begin()
    yield* this.#close()
    this.#opened = block.type
    yield { type: 'content_block_start', index: this.#blocks++, content_block: block }
  }

  *#close(): Generator<AgentEvent, void, void> {
    if (this.#opened === undefined) return
    this.#opened = undefined
    yield { type: 'content_block_stop', index: this.#blocks - 1 }
  }

  *#whole(block: ContentBlock): Generator<AgentEvent, void, void> {
    yield* this.#begin()
    yield* this.#close()
    this.#isVisible ||= block.type === 'text' && !isBlank(block.text)
    yield { type: 'content_block', index: this.#blocks++, content_block: block }
  }

  *#addDelta(delta: ContentBlockDelta): Generator<AgentEvent, void, void> {
    switch (delta.type) {
      case 'textDelta':
        yield* this.#addText(delta.text)
        return
      case 'toolUseInputDelta':
        if (this.#opened !== 'tool_use' || delta.input === '') return
        yield { ...this.#place(), delta: { type: 'input_json_delta', partial_json: delta.input } }
        return
      case 'reasoningContentDelta':
        yield* this.#addReasoning(delta)
        return
      case 'citationsDelta':
        for (const { text } of delta.content) yield* this.#addText(text)
        if (this.#opened !== 'text') yield* this.#open({ type: 'text', text: '' })
        for (const citation of delta.citations) {
          const json: JsonValue = JSON.parse(JSON.stringify(citation))
          yield { ...this.#place(), delta: { type: 'citations_delta', citation: json } }
        }
    }
  }

  *#addText(text: string): Generator<AgentEvent, void, void> {
    if (text === '') return
    if (this.#opened !== 'text') yield* this.#open({ type: 'text', text: '' })
    this.#isVisible ||= !isBlank(text)
    yield { ...this.#place(), delta: { type: 'text_delta', text } }
  }

  *#addReasoning({ text, signature, redactedContent }: ReasoningContentDelta): Generator<AgentEvent, void, void> {
    if (redactedContent !== undefined) {
      yield* this.#whole({ type: 'redacted_thinking', data: Buffer.from(redactedContent).toString('base64') })
      return
    }
    if (this.#opened !== 'thinking') yield* this.#open({ type: 'thinking', thinking: '', signature: '' })
    if (text !== undefined && text !== '') yield { ...this.#place(), delta: { type: 'thinking_delta', thinking: text } }
    if (signature !== undefined) yield { ...this.#place(), delta: { type: 'signature_delta', signature } }
  }

  #place() {
    return { type: 'content_block_delta', index: this.#blocks - 1 } as const
  }

  /** A guardrail took the answer away: the stored message has the guardrail's words in its place. */
  *#replace(text: string): Generator<AgentEvent, void, void> {
    for (let index = 0; index < this.#blocks; index++) {
      yield { type: 'content_block', index, content_block: { type: 'text', text: index === 0 ? text : '' } }
    }
  }

  *#stop(): Generator<AgentEvent, void, void> {
    const isRefused = this.intervention?.action === 'blocked'
    const stop_reason = isRefused ? 'refusal' : toStopReason(this.#stopReason ?? 'endTurn')
    yield { type: 'message_delta', delta: { stop_reason, stop_sequence: null }, usage: this.#usage }
    yield { type: 'message_stop' }
  }
}

function toUsage(usage: Usage | undefined): ProviderUsage {
  if (usage === undefined) return {}
  const { inputTokens, outputTokens, cacheReadInputTokens, cacheWriteInputTokens } = usage
  return {
    input_tokens: toCount(inputTokens),
    output_tokens: toCount(outputTokens),
    ...(cacheReadInputTokens === undefined ? {} : { cache_read_input_tokens: toCount(cacheReadInputTokens) }),
    ...(cacheWriteInputTokens === undefined ? {} : { cache_creation_input_tokens: toCount(cacheWriteInputTokens) }),
  }
}

/** A provider's count as the contract has it. */
export function toCount(tokens: number | undefined): number {
  return tokens === undefined || !Number.isFinite(tokens) ? 0 : Math.max(0, Math.round(tokens))
}
