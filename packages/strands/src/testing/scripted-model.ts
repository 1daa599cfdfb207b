/** A model of Strands without a provider, for tests: says what its script says, in Strands' own stream. */
import { Model } from '@strands-agents/sdk'
import type { BaseModelConfig, Message, ModelStreamEvent, StreamOptions } from '@strands-agents/sdk'

/** One call of the model: its events, or a function of the conversation that makes them. */
export type ScriptedCall =
  | Iterable<ModelStreamEvent>
  | AsyncIterable<ModelStreamEvent>
  | ((
      messages: readonly Message[],
      options: StreamOptions,
    ) => Iterable<ModelStreamEvent> | AsyncIterable<ModelStreamEvent>)

/** Answers its calls by `script`, in order; the last one answers all that follow. */
export class ScriptedModel extends Model {
  /** What each call was asked, oldest first. */
  readonly calls: (readonly Message[])[] = []
  readonly #script: readonly ScriptedCall[]

  constructor(script: readonly ScriptedCall[]) {
    super()
    this.#script = script
  }

  override updateConfig(): void {}

  override getConfig(): BaseModelConfig {
    return { modelId: 'scripted-strands' }
  }

  override async *stream(messages: Message[], options: StreamOptions = {}): AsyncGenerator<ModelStreamEvent> {
    const call = this.#script[Math.min(this.calls.length, this.#script.length - 1)] ?? []
    this.calls.push([...messages])
    yield* typeof call === 'function' ? call(messages, options) : call
  }
}

const usage = { inputTokens: 7, outputTokens: 3, totalTokens: 10 }

/** A call that says `texts` as one block. */
export function saying(...texts: readonly string[]): ModelStreamEvent[] {
  return [...begin, ...textBlock(...texts), ...end('endTurn')]
}

/** A call that asks for tools, after some words. */
export function calling(...calls: readonly { name: string; id: string; input: string }[]): ModelStreamEvent[] {
  return [
    ...begin,
    ...textBlock('Let me look. '),
    ...calls.flatMap(({ name, id, input }): ModelStreamEvent[] => [
      { type: 'modelContentBlockStartEvent', start: { type: 'toolUseStart', name, toolUseId: id } },
      { type: 'modelContentBlockDeltaEvent', delta: { type: 'toolUseInputDelta', input } },
      { type: 'modelContentBlockStopEvent' },
    ]),
    ...end('toolUse'),
  ]
}

export const begin: readonly ModelStreamEvent[] = [{ type: 'modelMessageStartEvent', role: 'assistant' }]

export function textBlock(...texts: readonly string[]): ModelStreamEvent[] {
  return [
    { type: 'modelContentBlockStartEvent' },
    ...texts.map((text): ModelStreamEvent => ({
      type: 'modelContentBlockDeltaEvent',
      delta: { type: 'textDelta', text },
    })),
    { type: 'modelContentBlockStopEvent' },
  ]
}

export function end(stopReason: string, trace?: unknown): ModelStreamEvent[] {
  return [
    { type: 'modelMessageStopEvent', stopReason },
    { type: 'modelMetadataEvent', usage, metrics: { latencyMs: 12 }, ...(trace === undefined ? {} : { trace }) },
  ]
}
