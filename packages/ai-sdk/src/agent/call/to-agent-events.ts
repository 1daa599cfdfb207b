/**
 * The parts of an AI SDK stream become our events, for one model call. Text, thinking and calls of tools are streamed; files and what the
 * provider's own tools say come whole. What a provider wants back of its words is gathered, and stands last in the call.
 */
import type { LanguageModelUsage, ProviderMetadata, TextStreamPart, ToolSet } from 'ai'
import { isJson, providerError, readToolInput } from '@verbatim/core/agent-kit'
import { OtherBlock, ProviderBlock } from '@verbatim/core'
import type { AgentEvent, ContentBlock, JsonValue, ProviderUsage } from '@verbatim/core'
import { toMetadata } from './provider-metadata.ts'
import type { BlockMetadata, CallIdentity } from './provider-metadata.ts'
import { fileKind, tapKey } from './tap-model.ts'
import type { Heard } from './tap-model.ts'
import { toCitation } from './to-citation.ts'
import type { SourcePart } from './to-citation.ts'
import { toMediaBlock } from '../tools/tool-output.ts'

type Part = TextStreamPart<ToolSet>
type PartOf<TType extends Part['type']> = Extract<Part, { type: TType }>

interface OpenCall {
  readonly id: string
  readonly index: number
  streamed: string
}

export class PartMapper {
  readonly #identity: CallIdentity
  readonly #heard: Heard
  readonly #metadata: BlockMetadata[] = []
  /** The open text and thinking blocks, by the id of their parts. */
  readonly #open = new Map<string, number>()
  #calls: OpenCall[] = []
  /** Inputs that are streamed in another form than the call has. */
  readonly #silent = new Set<string>()
  /** A text block that has ended; sources that come right after it are of it. */
  #endedText: number | undefined
  #sources: SourcePart[] = []
  readonly #unstopped = new Set<number>()
  /** The call has more than text and calls of tools, which any model understands. */
  #isOfProvider = false
  #hasBegun = false

  constructor(identity: CallIdentity, heard: Heard) {
    this.#identity = identity
    this.#heard = heard
  }

  /** Our indexes of the blocks that the provider did not stop. */
  get unstopped(): ReadonlySet<number> {
    return this.#unstopped
  }

  /** @throws VerbatimError `PROVIDER_ERROR` for a call that failed without saying why */
  map(part: Part): AgentEvent[] {
    const events = part.type === 'source' ? this.#addSource(part) : [...this.#endOfText(part), ...this.#eventsOf(part)]
    if (events.length === 0 || this.#hasBegun) return events
    this.#hasBegun = true
    const model = this.#heard.model ?? this.#identity.model
    return [{ type: 'message_start', message: { model, usage: {} } }, ...events]
  }

  #eventsOf(part: Part): AgentEvent[] {
    switch (part.type) {
      case 'text-start':
      case 'reasoning-start':
        return this.#startWords(part)
      case 'text-delta':
      case 'reasoning-delta':
        return this.#addWords(part)
      case 'text-end':
      case 'reasoning-end':
        return this.#endWords(part)
      case 'tool-input-start':
        return this.#startCall(part)
      case 'tool-input-delta':
        return this.#addInput(part)
      case 'tool-call':
        return part.providerExecuted === true ? this.#addServerCall(part) : this.#endCall(part)
      case 'tool-result':
        return part.providerExecuted === true ? this.#addServerResult(part, part.output, false) : []
      case 'tool-error':
        return part.providerExecuted === true ? this.#addServerResult(part, part.error, true) : []
      case 'file':
        return this.#addFile(part.file.mediaType, { data: part.file.base64 }, part.providerMetadata)
      case 'custom':
        return this.#addCustom(part)
      case 'finish-step':
        return this.#finish(part)
      default:
        return []
    }
  }

  #begin(content_block: ContentBlock, metadata: ProviderMetadata | undefined): { index: number; event: AgentEvent } {
    const index = this.#metadata.push(toMetadata(metadata)) - 1
    this.#isOfProvider ||= content_block.type === 'thinking'
    return { index, event: { type: 'content_block_start', index, content_block } }
  }

  #whole(content_block: ContentBlock, metadata: ProviderMetadata | undefined): AgentEvent[] {
    const index = this.#metadata.push(toMetadata(metadata)) - 1
    this.#isOfProvider = true
    return [{ type: 'content_block', index, content_block }]
  }

  #note(index: number, metadata: ProviderMetadata | undefined): void {
    this.#metadata[index] = toMetadata(metadata, this.#metadata[index])
  }

  #startWords(part: PartOf<'text-start' | 'reasoning-start'>): AgentEvent[] {
    const isText = part.type === 'text-start'
    const block = isText
      ? ({ type: 'text', text: '' } as const)
      : ({ type: 'thinking', thinking: '', signature: '' } as const)
    const { index, event } = this.#begin(block, part.providerMetadata)
    this.#open.set(keyOf(part), index)
    return [event, ...(isText ? this.#takeSources(index) : [])]
  }

  #addWords(part: PartOf<'text-delta' | 'reasoning-delta'>): AgentEvent[] {
    const type = part.type === 'text-delta' ? 'text-start' : 'reasoning-start'
    const started = this.#open.has(keyOf(part)) || part.text === '' ? [] : this.#startWords({ type, id: part.id })
    const index = this.#open.get(keyOf(part))
    if (index === undefined) return []
    this.#note(index, part.providerMetadata)
    if (part.text === '') return started
    const delta =
      part.type === 'text-delta'
        ? ({ type: 'text_delta', text: part.text } as const)
        : ({ type: 'thinking_delta', thinking: part.text } as const)
    return [...started, { type: 'content_block_delta', index, delta }]
  }

  #endWords(part: PartOf<'text-end' | 'reasoning-end'>): AgentEvent[] {
    const index = this.#open.get(keyOf(part))
    if (index === undefined) return []
    this.#open.delete(keyOf(part))
    this.#note(index, part.providerMetadata)
    if (part.type === 'reasoning-end') return [{ type: 'content_block_stop', index }]
    this.#endedText = index
    return (part.citations ?? []).map(({ source, citedText }) => citationEvent(index, toCitation(source, citedText)))
  }

  /** A text that has ended stops with the next part that is not a source of it. */
  #endOfText(part: Part): AgentEvent[] {
    const index = this.#endedText
    if (index === undefined || part.type === 'ping') return []
    const sources = part.type === 'finish-step' ? this.#takeSources(index) : []
    this.#endedText = undefined
    return [...sources, { type: 'content_block_stop', index }]
  }

  #addSource(part: SourcePart): AgentEvent[] {
    this.#isOfProvider = true
    const open = [...this.#open].findLast(([key]) => key.startsWith('text'))?.[1] ?? this.#endedText
    if (open !== undefined) return [citationEvent(open, toCitation(part))]
    this.#sources.push(part)
    return []
  }

  #takeSources(index: number): AgentEvent[] {
    return this.#sources.splice(0).map((source) => citationEvent(index, toCitation(source)))
  }

  #startCall(part: PartOf<'tool-input-start'>): AgentEvent[] {
    const { id, toolName, providerExecuted, inputEncoding, providerMetadata } = part
    if (providerExecuted === true || inputEncoding === 'text') {
      this.#silent.add(id)
      return []
    }
    return this.#openCall({ id, name: toolName }, providerMetadata).events
  }

  #openCall({ id, name }: { id: string; name: string }, metadata: ProviderMetadata | undefined) {
    const { index, event } = this.#begin({ type: 'tool_use', id, name, input: {} }, metadata)
    const call: OpenCall = { id, index, streamed: '' }
    this.#calls.push(call)
    return { call, events: [event] }
  }

  #addInput({ id, delta }: PartOf<'tool-input-delta'>): AgentEvent[] {
    const call = this.#silent.has(id) ? undefined : this.#calls.findLast((one) => one.id === id)
    if (call === undefined || delta === '') return []
    call.streamed += delta
    return [inputEvent(call.index, delta)]
  }

  /** What was streamed is the input, to the letter. A call that was not streamed, or in another form, has it from here. */
  #endCall(part: PartOf<'tool-call'>): AgentEvent[] {
    const { toolCallId: id, toolName: name, providerMetadata } = part
    const text = inputTextOf(part)
    const found = this.#calls.find((one) => one.id === id)
    const { call, events } = found ? { call: found, events: [] } : this.#openCall({ id, name }, providerMetadata)
    this.#calls = this.#calls.filter((one) => one !== call)
    this.#note(call.index, providerMetadata)
    const { index, streamed } = call
    if (streamed !== '' && streamed !== text) {
      return [
        ...events,
        { type: 'content_block', index, content_block: { type: 'tool_use', id, name, ...readToolInput(text) } },
      ]
    }
    const isMissing = streamed === '' && text !== '' && text !== '{}'
    return [...events, ...(isMissing ? [inputEvent(index, text)] : []), { type: 'content_block_stop', index }]
  }

  #addServerCall(part: PartOf<'tool-call'>): AgentEvent[] {
    const { toolCallId: id, toolName: name, providerMetadata } = part
    return this.#whole({ type: 'server_tool_use', id, name, ...readToolInput(inputTextOf(part)) }, providerMetadata)
  }

  #addServerResult(
    { toolCallId: tool_use_id, toolName: name, providerMetadata }: PartOf<'tool-result' | 'tool-error'>,
    output: unknown,
    is_error: boolean,
  ): AgentEvent[] {
    const block = { type: `${name}_tool_result`, tool_use_id, name, content: toJson(output), is_error }
    return this.#whole(ProviderBlock.parse(block), providerMetadata)
  }

  #addFile(
    mediaType: string,
    source: { readonly data: string } | { readonly url: string },
    metadata: ProviderMetadata | undefined,
  ): AgentEvent[] {
    const block =
      toMediaBlock(mediaType, source) ?? OtherBlock.parse({ type: 'file', media_type: mediaType, ...source })
    return this.#whole(block, metadata)
  }

  #addCustom({ kind, providerMetadata }: PartOf<'custom'>): AgentEvent[] {
    const file = providerMetadata?.[tapKey]
    if (kind === fileKind && typeof file?.['url'] === 'string' && typeof file['mediaType'] === 'string') {
      return this.#addFile(file['mediaType'], { url: file['url'] }, providerMetadata)
    }
    // Anthropic's figures of a call that begins, which say nothing to it later.
    if (kind === 'anthropic.message_start' || toMetadata(providerMetadata) === null) return []
    return this.#whole(OtherBlock.parse({ type: 'custom', kind }), providerMetadata)
  }

  #finish({ finishReason, rawFinishReason, usage }: PartOf<'finish-step'>): AgentEvent[] {
    if (finishReason === 'error') throw providerError('server_error')
    const calls = this.#calls.map(({ index }) => index)
    for (const index of calls) this.#unstopped.add(index)
    const open = [...this.#open.values(), ...calls].toSorted((one, other) => one - other)
    const blocks = [...this.#metadata]
    const metadata: ContentBlock = { type: 'model_metadata', ...this.#identity, blocks }
    const isNeeded = this.#isOfProvider || blocks.some((one) => one !== null)
    return [
      ...open.map((index): AgentEvent => ({ type: 'content_block_stop', index })),
      ...(isNeeded ? [{ type: 'content_block', index: blocks.length, content_block: metadata } as const] : []),
      {
        type: 'message_delta',
        delta: { stop_reason: toStopReason(finishReason, rawFinishReason), stop_sequence: null },
        usage: toUsage(usage),
      },
      { type: 'message_stop' },
    ]
  }
}

function keyOf({ type, id }: { readonly type: string; readonly id: string }): string {
  return `${type.split('-')[0] ?? ''}:${id}`
}

function citationEvent(index: number, citation: JsonValue): AgentEvent {
  return { type: 'content_block_delta', index, delta: { type: 'citations_delta', citation } }
}

function inputEvent(index: number, partial_json: string): AgentEvent {
  return { type: 'content_block_delta', index, delta: { type: 'input_json_delta', partial_json } }
}

function inputTextOf({ providerMetadata, input }: PartOf<'tool-call'>): string {
  const text = providerMetadata?.[tapKey]?.['input']
  return typeof text === 'string' ? text : JSON.stringify(input)
}

function toJson(value: unknown): JsonValue {
  if (isJson(value)) return value
  const text = value instanceof Error ? value.name : JSON.stringify(value)
  return text === undefined ? null : (JSON.parse(value instanceof Error ? JSON.stringify(text) : text) as JsonValue) // JSON as before
}

/** The names of Anthropic's API, which the engine and the clients know. */
function toStopReason(reason: string, raw: string | undefined): string {
  if (raw === 'pause_turn' || raw === 'stop_sequence' || raw === 'model_context_window_exceeded') return raw
  switch (reason) {
    case 'stop':
      return 'end_turn'
    case 'length':
      return 'max_tokens'
    case 'content-filter':
      return 'refusal'
    case 'tool-calls':
      return 'tool_use'
    default:
      return raw ?? reason
  }
}

/** What was read from a cache, or written to it, is counted by itself. */
function toUsage({ inputTokens, inputTokenDetails, outputTokens }: LanguageModelUsage): ProviderUsage {
  const { noCacheTokens, cacheReadTokens, cacheWriteTokens } = inputTokenDetails
  const uncached = noCacheTokens ?? (inputTokens ?? NaN) - (cacheReadTokens ?? 0) - (cacheWriteTokens ?? 0)
  const counts = {
    input_tokens: uncached,
    output_tokens: outputTokens,
    cache_read_input_tokens: cacheReadTokens,
    cache_creation_input_tokens: cacheWriteTokens,
  }
  return Object.fromEntries(
    Object.entries(counts).filter(([, count]) => Number.isSafeInteger(count) && (count ?? -1) >= 0),
  )
}
