import { Model } from '@strands-agents/sdk'
import type { BaseModelConfig, Message, ModelStreamEvent } from '@strands-agents/sdk'

/** A model without a provider, so that the example needs no account: it looks at the weather, once. Leave `model` out for Bedrock. */
export class LocalModel extends Model {
  override updateConfig(): void {}

  override getConfig(): BaseModelConfig {
    return { modelId: 'local' }
  }

  override async *stream(messages: Message[]): AsyncGenerator<ModelStreamEvent> {
    yield { type: 'modelMessageStartEvent', role: 'assistant' }
    const [result] = messages.at(-1)?.content.filter((block) => block.type === 'toolResultBlock') ?? []
    const [said] = result?.content.filter((part) => part.type === 'textBlock') ?? []
    if (said === undefined && JSON.stringify(messages.at(-1)).includes('weather')) yield* callTool()
    else yield* say(said === undefined ? `That was message ${messages.length}.` : `It is ${said.text}.`)
    yield { type: 'modelMetadataEvent', usage: { inputTokens: 5, outputTokens: 7, totalTokens: 12 } }
  }
}

function* say(text: string): Generator<ModelStreamEvent> {
  yield { type: 'modelContentBlockStartEvent' }
  for (const word of text.split(/(?<= )/)) {
    yield { type: 'modelContentBlockDeltaEvent', delta: { type: 'textDelta', text: word } }
  }
  yield { type: 'modelContentBlockStopEvent' }
  yield { type: 'modelMessageStopEvent', stopReason: 'endTurn' }
}

function* callTool(): Generator<ModelStreamEvent> {
  const start = { type: 'toolUseStart', name: 'weather', toolUseId: `call-${crypto.randomUUID()}` } as const
  yield { type: 'modelContentBlockStartEvent', start }
  yield { type: 'modelContentBlockDeltaEvent', delta: { type: 'toolUseInputDelta', input: '{"city":"Bern"}' } }
  yield { type: 'modelContentBlockStopEvent' }
  yield { type: 'modelMessageStopEvent', stopReason: 'toolUse' }
}
