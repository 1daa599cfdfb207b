/**
 * The model, with an ear at what its provider says before the AI SDK reads it: the SDK parses the inputs of tools, which loses digits,
 * prints warnings, and downloads the files that a provider names.
 */
import { gateway, wrapLanguageModel } from 'ai'
import type { LanguageModel, LanguageModelMiddleware } from 'ai'
import { providerError } from '@verbatim/core/agent-kit'
import type { JsonValue } from '@verbatim/core'
import type { Logger } from '@verbatim/core/server'

type WrapStream = NonNullable<LanguageModelMiddleware['wrapStream']>
type ModelStream = Awaited<ReturnType<WrapStream>>['stream']
type ModelPart = ModelStream extends ReadableStream<infer TPart> ? TPart : never
/** A model of the newest version of the protocol. */
export type TappedModel = ReturnType<typeof wrapLanguageModel>

/** What the provider says of one call beside its answer. */
export interface Heard {
  /** The model that answers, by the provider's own name. */
  model: string | undefined
}

/** The key under which a part carries what {@link tapModel} adds to it. */
export const tapKey = 'verbatim'
/** The kind of a part that names a file by its address. */
export const fileKind = 'verbatim.file'

/** The model that a call uses, and who it is. A string is an id at the default provider of the AI SDK. */
export function resolveModel(model: LanguageModel): Exclude<LanguageModel, string> {
  return typeof model === 'string' ? (globalThis.AI_SDK_DEFAULT_PROVIDER ?? gateway).languageModel(model) : model
}

export function tapModel(
  model: Exclude<LanguageModel, string>,
  { heard, logger, runId }: { heard: Heard; logger: Logger; runId: string },
): TappedModel {
  const onWarning = (warning: string) => logger.warn({ runId, warning }, 'The AI SDK warns of a model call')
  return wrapLanguageModel({
    model,
    middleware: {
      specificationVersion: 'v4',
      wrapStream: async ({ doStream }) => {
        const { stream, ...rest } = await doStream()
        return { ...rest, stream: stream.pipeThrough(createTap(heard, onWarning)) }
      },
    },
  })
}

function createTap(heard: Heard, onWarning: (warning: string) => void): TransformStream<ModelPart, ModelPart> {
  let hasEnded = false
  return new TransformStream({
    transform(part, controller) {
      if (part.type === 'response-metadata') heard.model = part.modelId ?? heard.model
      if (part.type === 'stream-start') for (const warning of part.warnings) onWarning(nameOfWarning(warning))
      hasEnded ||= part.type === 'finish' || part.type === 'error'
      controller.enqueue(tapped(part))
    },
    flush(controller) {
      if (!hasEnded) controller.enqueue(cut())
    },
  })
}

function tapped(part: ModelPart): ModelPart {
  switch (part.type) {
    case 'stream-start':
      return { ...part, warnings: [] } // the SDK prints them
    case 'tool-call':
      return { ...part, providerMetadata: { ...part.providerMetadata, [tapKey]: { input: part.input } } }
    case 'finish':
      // The stream ended without the provider's word that it is whole.
      return part.finishReason.unified === 'interrupted' ? cut() : part
    case 'file': {
      const { data, mediaType } = part
      if (data.type !== 'url') return part
      const file: JsonValue = { url: data.url.toString(), mediaType }
      return { type: 'custom', kind: fileKind, providerMetadata: { ...part.providerMetadata, [tapKey]: file } }
    }
    default:
      return part
  }
}

function cut(): ModelPart {
  return { type: 'error', error: providerError('cut') }
}

/** Its words may quote the prompt: only what it is about goes to the log. */
function nameOfWarning(warning: object & { readonly type: string }): string {
  const feature = 'feature' in warning ? warning.feature : undefined
  return typeof feature === 'string' ? `${warning.type}: ${feature}` : warning.type
}
