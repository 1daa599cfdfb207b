/**
 * A stored conversation becomes one that the AI SDK takes, whatever runs were cut, cancelled or made by another model.
 * In: turns as we keep them. Out: messages in which every call is answered, and in which the provider finds its own metadata, unchanged,
 * where it said the same words after the same conversation. Elsewhere thoughts, and what the provider's tools said, are left out.
 */
import type { AssistantModelMessage, ModelMessage, ToolModelMessage, UserModelMessage } from 'ai'
import { fingerprintOf, isBlank, noteOf, toExactInput, weightOf } from '@verbatim/core/agent-kit'
import type { KnownFiles, MediaBlock, MediaSources, Turn } from '@verbatim/core/agent-kit'
import { textOfResult } from '@verbatim/core'
import type { ContentBlock, JsonValue } from '@verbatim/core'
import { metadataFor } from '../call/provider-metadata.ts'
import type { BlockMetadata } from '../call/provider-metadata.ts'
import { splitTurns } from './split-turns.ts'
import type { CallStep, ResultStep } from './split-turns.ts'

export interface MessageRules {
  readonly provider: string
  readonly model: string
  /** A fingerprint of the system prompt and the tools. */
  readonly seed: string
  /** False leaves calls of tools out: providers refuse them in a request that defines no tools. */
  readonly keepsTools: boolean
  /** False leaves the provider's metadata out: it refused what it said before. */
  readonly keepsMetadata: boolean
  readonly media: { readonly sources: MediaSources; readonly files: KnownFiles }
}

export interface SentMessages {
  readonly messages: readonly ModelMessage[]
  /** True when they hold what only their provider takes back. */
  readonly hasMetadata: boolean
  /** What they count against the budget: their bytes, but for those of files that the model does not read as text. */
  readonly weight: number
  /** What the metadata of the answer is bound to. */
  readonly boundTo: string
}

export function toModelMessages(turns: readonly Turn[], rules: MessageRules): SentMessages {
  const messages: ModelMessage[] = []
  let chain = ''
  let hasMetadata = false
  let weight = 0
  const add = (message: ModelMessage) => {
    if (message.content.length === 0) return
    const json = JSON.stringify(message)
    chain = fingerprintOf(chain, json)
    weight += Buffer.byteLength(json)
    messages.push(message)
  }
  for (const step of splitTurns(turns)) {
    if (step.type === 'user') add({ role: 'user', content: step.blocks.flatMap((block) => toUserParts(block, rules)) })
    else if (step.type === 'results') add(toToolMessage(step, rules))
    else {
      const said = toAssistantMessage(step, rules, fingerprintOf(rules.seed, chain))
      hasMetadata ||= said.hasMetadata
      add(said.message)
    }
  }
  return { messages, hasMetadata, weight: weight - unreadBytesOf(rules), boundTo: fingerprintOf(rules.seed, chain) }
}

/** Of the files in a request, the bytes that count for nothing. */
function unreadBytesOf({ media: { sources, files } }: MessageRules): number {
  return [...sources].reduce((sum, [block, source]) => {
    const bytes = source.type === 'base64' ? Buffer.byteLength(source.data) : 0
    return sum + Math.max(0, bytes - weightOf(block, files))
  }, 0)
}

type UserPart = Exclude<UserModelMessage['content'], string>[number]
type ToolPart = Extract<ToolModelMessage['content'][number], { type: 'tool-result' }>
type AssistantPart = Exclude<
  Exclude<AssistantModelMessage['content'], string>[number],
  { type: 'tool-approval-request' }
>
type FilePart = Extract<UserPart, { type: 'file' }>

function toUserParts(block: ContentBlock, rules: MessageRules): UserPart[] {
  if (block.type === 'text') return isBlank(block.text) ? [] : [{ type: 'text', text: block.text.toWellFormed() }]
  return block.type === 'image' || block.type === 'document' ? [toFilePart(block, rules)] : []
}

/** A plain text goes as text, which every model reads. */
function toFilePart(block: MediaBlock, { media }: MessageRules): FilePart | { type: 'text'; text: string } {
  const source = media.sources.get(block)
  if (source === undefined) return { type: 'text', text: noteOf(block) }
  const title = block.type === 'document' ? block.title : undefined
  if (source.type === 'text') {
    const context = block.type === 'document' ? block.context : undefined
    const head = [title, context].filter((line) => line !== undefined).join('\n')
    return {
      type: 'text',
      text: `<document>\n${head === '' ? '' : `${head}\n\n`}${source.data.toWellFormed()}\n</document>`,
    }
  }
  const name = title === undefined ? {} : { filename: title }
  if (source.type === 'url') {
    const mediaType = block.type === 'image' ? 'image' : 'application/pdf'
    return { type: 'file', mediaType, data: { type: 'url', url: new URL(source.url) }, ...name }
  }
  return source.type === 'base64'
    ? { type: 'file', mediaType: source.media_type, data: { type: 'data', data: source.data }, ...name }
    : { type: 'text', text: noteOf(block) }
}

function toToolMessage({ results }: ResultStep, rules: MessageRules): ToolModelMessage {
  if (!rules.keepsTools) return { role: 'tool', content: [] }
  return {
    role: 'tool',
    content: results.map(({ block, id, name }) => {
      return { type: 'tool-result', toolCallId: id, toolName: toName(name), output: toOutput(block, rules) }
    }),
  }
}

function toOutput(
  { content, is_error }: ResultStep['results'][number]['block'],
  rules: MessageRules,
): ToolPart['output'] {
  const text = textOfResult(content).toWellFormed()
  if (is_error) return { type: 'error-text', value: isBlank(text) ? 'The tool failed' : text }
  if (typeof content === 'string' || content.every(({ type }) => type === 'text')) return { type: 'text', value: text }
  const value = content.map((part) => {
    if (part.type === 'image' || part.type === 'document') return toFilePart(part, rules)
    return { type: 'text' as const, text: part.type === 'text' ? part.text.toWellFormed() : JSON.stringify(part) }
  })
  return { type: 'content', value: value.map(toOutputPart) }
}

function toOutputPart(part: FilePart | { type: 'text'; text: string }) {
  if (part.type === 'text') return part
  const { mediaType, data } = part as FilePart & { data: { type: 'url'; url: URL } | { type: 'data'; data: string } } // see toFilePart
  return { type: 'file' as const, mediaType, data }
}

/** A model may call a tool that no provider would let an agent have: it has to hear so. */
function toName(name: string): string {
  return name.replace(/[^A-Za-z0-9_-]/g, '_').slice(0, 128) || 'unknown'
}

interface Said {
  readonly message: AssistantModelMessage
  readonly hasMetadata: boolean
}

function toAssistantMessage(step: CallStep, rules: MessageRules, boundTo: string): Said {
  const metadata = rules.keepsMetadata ? metadataOf(step, { ...rules, boundTo }) : undefined
  const content = step.blocks.flatMap((block, at): AssistantPart[] => {
    const part = toAssistantPart(block, { step, rules, isExact: metadata !== undefined, own: metadata?.[at] ?? null })
    const own = metadata?.[at]
    return part === undefined ? [] : [own === null || own === undefined ? part : { ...part, providerOptions: own }]
  })
  return { message: { role: 'assistant', content }, hasMetadata: metadata !== undefined }
}

/** Holds only where the call goes back whole: with all its calls of tools, under the ids that the model gave them. */
function metadataOf(
  { blocks, metadata, ids }: CallStep,
  { provider, model, boundTo, keepsTools }: MessageRules & { boundTo: string },
) {
  const isWhole = blocks.every((block) => block.type !== 'tool_use' || (keepsTools && ids.get(block) === block.id))
  if (metadata === undefined || !isWhole) return undefined
  return metadataFor(metadata, { provider, model, boundTo }, blocks.length)
}

interface PartContext {
  readonly step: CallStep
  readonly rules: MessageRules
  /** Whether the provider gets the call as it made it. */
  readonly isExact: boolean
  readonly own: BlockMetadata
}

/** The part without its metadata; undefined for what does not go back. */
function toAssistantPart(block: ContentBlock, { step, rules, isExact, own }: PartContext): AssistantPart | undefined {
  switch (block.type) {
    case 'text':
      return isBlank(block.text) && own === null ? undefined : { type: 'text', text: block.text.toWellFormed() }
    case 'thinking':
      return isExact ? { type: 'reasoning', text: block.thinking.toWellFormed() } : undefined
    case 'tool_use': {
      const id = step.ids.get(block)
      if (id === undefined || !rules.keepsTools) return undefined
      return { type: 'tool-call', toolCallId: id, toolName: toName(block.name), input: toExactInput(block).value }
    }
    case 'server_tool_use': {
      if (!isExact) return undefined
      const { id, name } = block
      return {
        type: 'tool-call',
        toolCallId: id,
        toolName: name,
        input: toExactInput(block).value,
        providerExecuted: true,
      }
    }
    case 'image':
    case 'document': {
      // What a model has drawn goes back only to a provider that asks for it.
      const part = isExact && own !== null ? toFilePart(block, rules) : undefined
      return part?.type === 'file' ? part : undefined
    }
    default:
      return isExact ? toProviderPart(block) : undefined
  }
}

/** What the provider's own tools answered, and what only it understands. */
function toProviderPart(block: ContentBlock): AssistantPart | undefined {
  const fields: { readonly [field: string]: unknown } = { ...block }
  const { type, name, tool_use_id, content, is_error, kind } = fields
  if (type === 'custom' && typeof kind === 'string') return { type: 'custom', kind: kind as `${string}.${string}` } // the SDK's own
  if (typeof name !== 'string' || typeof tool_use_id !== 'string' || content === undefined) return undefined
  const value = content as JsonValue // of a stored block
  const output = { type: is_error === true ? 'error-json' : 'json', value } as const
  return { type: 'tool-result', toolCallId: tool_use_id, toolName: name, output }
}
