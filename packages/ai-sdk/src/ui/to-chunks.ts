/**
 * Events of a run become chunks of the AI SDK's UI message stream, here and nowhere else. Chunk k depends on the log's prefix alone, so
 * a reader that has k chunks resumes exactly, on any server (promise P2). Runs that continue one another make one message.
 */
import { isContinued, isTerminalEvent, readToolInput, statusOfTerminal } from '@verbatim/core'
import type { ContentBlock, ContentDelta, JsonValue, RunEvent, TerminalEvent } from '@verbatim/core'
import type { UIMessageChunk } from 'ai'
import { toFile } from './file-part.ts'
import type { FileOptions } from './file-part.ts'
import { toFinishReason } from './finish-reason.ts'
import type { AnswerMetadata } from './metadata.ts'
import { createSourceCollector } from './source-parts.ts'
import { isCall, ToolCalls } from './tool-calls.ts'
import type { CallBlock } from './tool-calls.ts'
import { toProviderOutput, toToolOutput } from './tool-output.ts'

/** A block that is being streamed. */
type OpenBlock =
  | { readonly type: 'text'; readonly id: string; readonly citations: JsonValue[] }
  | { readonly type: 'reasoning'; readonly id: string; signature: string }
  | { readonly type: 'call'; readonly block: CallBlock; json: string }

/** The chunks of one answer: of the log of its first run, then of each run that continues it, every event once and in order. */
export class AnswerChunks {
  readonly #options: FileOptions
  readonly #sources = createSourceCollector()
  readonly #calls = new ToolCalls()
  readonly #open = new Map<number, OpenBlock>()
  /** Counts the runs of the answer. */
  #segment = 0
  #length = 0
  #cycleStart = 0
  #isInStep = false
  #stopReason: string | null = null
  #output: JsonValue | undefined

  constructor(options: FileOptions = {}) {
    this.#options = options
  }

  /** The chunks that `event` makes. */
  add(event: RunEvent): UIMessageChunk[] {
    switch (event.type) {
      case 'run_started':
        return this.#start(event)
      case 'message_start':
        this.#cycleStart = this.#length
        this.#stopReason = null
        return [...this.#closeBlocks(), ...this.#endStep(), ...this.#beginStep()]
      case 'content_block_start':
        return this.#startBlock(this.#cycleStart + event.index, event.content_block)
      case 'content_block':
        return this.#wholeBlock(this.#cycleStart + event.index, event.content_block)
      case 'content_block_delta':
        return this.#extendBlock(this.#cycleStart + event.index, event.delta)
      case 'content_block_stop':
        return this.#closeBlock(this.#cycleStart + event.index)
      case 'message_delta':
        this.#stopReason = event.delta.stop_reason ?? this.#stopReason
        return []
      case 'message_stop':
        return this.#closeBlocks()
      case 'tool_result':
        this.#length++
        return this.#calls.answer(event.tool_use_id, toToolOutput(event.content, event.is_error))
      case 'data':
        // Without an id it is of its name alone. No id of an application is empty.
        return [{ type: `data-${event.name}`, id: event.id ?? '', data: event.data }]
      case 'output':
        this.#output = event.output
        return []
      default:
        // Others change nothing that is shown: waits and takeovers, and events of a newer server.
        return isTerminalEvent(event) ? this.#end(event) : []
    }
  }

  #start({ messageId, runId, agentId }: Extract<RunEvent, { type: 'run_started' }>): UIMessageChunk[] {
    if (this.#segment > 0) return [] // it continues the same message
    return [{ type: 'start', messageId, messageMetadata: { verbatim: { runId, agentId } satisfies AnswerMetadata } }]
  }

  #beginStep(): UIMessageChunk[] {
    if (this.#isInStep) return []
    this.#isInStep = true
    return [{ type: 'start-step' }]
  }

  /** A step ends when the next one begins: the tools run after the model's last word, and belong to it. */
  #endStep(): UIMessageChunk[] {
    if (!this.#isInStep) return []
    this.#isInStep = false
    return [{ type: 'finish-step' }]
  }

  /** Ends what an earlier block in this place has open, and makes room. */
  #place(position: number): UIMessageChunk[] {
    const closed = this.#closeBlock(position)
    this.#length = Math.max(this.#length, position + 1)
    return [...this.#beginStep(), ...closed]
  }

  #startBlock(position: number, block: ContentBlock): UIMessageChunk[] {
    const id = `${this.#segment}.${position}`
    if (block.type === 'text') {
      const placed = this.#place(position)
      this.#open.set(position, { type: 'text', id, citations: [...(block.citations ?? [])] })
      return [...placed, { type: 'text-start', id }, ...textDelta(id, block.text)]
    }
    if (block.type === 'thinking') {
      const placed = this.#place(position)
      this.#open.set(position, { type: 'reasoning', id, signature: block.signature })
      return [...placed, { type: 'reasoning-start', id }, ...reasoningDelta(id, block.thinking)]
    }
    if (isCall(block)) {
      const placed = this.#place(position)
      this.#open.set(position, { type: 'call', block, json: '' })
      return [...placed, ...this.#calls.begin(block, position)]
    }
    return this.#wholeBlock(position, block)
  }

  #wholeBlock(position: number, block: ContentBlock): UIMessageChunk[] {
    if (block.type === 'text' || block.type === 'thinking') {
      return [...this.#startBlock(position, block), ...this.#closeBlock(position)]
    }
    const placed = this.#place(position)
    this.#sources.addFound(block)
    return [...placed, ...this.#chunksOf(position, block)]
  }

  /** The chunks of a block that is not streamed. */
  #chunksOf(position: number, block: Exclude<ContentBlock, { type: 'text' | 'thinking' }>): UIMessageChunk[] {
    if (isCall(block)) return this.#calls.ask(block, position)
    switch (block.type) {
      case 'redacted_thinking': {
        const id = `${this.#segment}.${position}`
        const providerMetadata = { anthropic: { redactedData: block.data } }
        return [
          { type: 'reasoning-start', id, providerMetadata },
          { type: 'reasoning-end', id },
        ]
      }
      case 'tool_result':
        return this.#calls.answer(block.tool_use_id, toToolOutput(block.content, block.is_error))
      case 'web_search_tool_result':
      case 'web_fetch_tool_result':
      case 'code_execution_tool_result':
      case 'bash_code_execution_tool_result':
      case 'text_editor_code_execution_tool_result':
      case 'tool_search_tool_result':
      case 'mcp_tool_result':
        return this.#calls.answer(block.tool_use_id, toProviderOutput(block))
      case 'image':
      case 'document':
        return [{ type: 'file', ...toFile(block, this.#options) }]
      case 'compaction':
      case 'model_metadata':
        return [] // for the model alone
      default:
        return [
          { type: 'custom', kind: `verbatim.${block.type}`, providerMetadata: { verbatim: { block: { ...block } } } },
        ]
    }
  }

  #extendBlock(position: number, delta: ContentDelta): UIMessageChunk[] {
    const open = this.#open.get(position)
    switch (delta.type) {
      case 'text_delta':
        return open?.type === 'text' ? textDelta(open.id, delta.text) : []
      case 'citations_delta':
        if (open?.type === 'text') open.citations.push(delta.citation)
        return []
      case 'thinking_delta':
        return open?.type === 'reasoning' ? reasoningDelta(open.id, delta.thinking) : []
      case 'signature_delta':
        if (open?.type === 'reasoning') open.signature = delta.signature
        return []
      case 'input_json_delta':
        if (open?.type !== 'call') return []
        open.json += delta.partial_json
        return this.#calls.extend(position, delta.partial_json)
    }
  }

  #closeBlock(position: number): UIMessageChunk[] {
    const open = this.#open.get(position)
    if (open === undefined) return []
    this.#open.delete(position)
    if (open.type === 'text') return this.#endText(open)
    if (open.type === 'reasoning') {
      const { id, signature } = open
      const proof = signature === '' ? {} : { providerMetadata: { anthropic: { signature } } }
      return [{ type: 'reasoning-end', id, ...proof }]
    }
    const { block, json } = open
    return this.#calls.ask(json === '' ? block : { ...block, ...readToolInput(json) }, position)
  }

  #endText({ id, citations }: Extract<OpenBlock, { type: 'text' }>): UIMessageChunk[] {
    if (citations.length === 0) return [{ type: 'text-end', id }]
    const cited = this.#sources.cite({ type: 'text', text: '', citations })
    return [{ type: 'text-end', id, citations: cited.citations }, ...cited.parts]
  }

  /** Ends what is still open, as the stored answer has it: a call whose input was not finished stays without. */
  #closeBlocks({ isCut = false }: { isCut?: boolean } = {}): UIMessageChunk[] {
    const open = [...this.#open].toSorted(([one], [other]) => one - other)
    return open.flatMap(([position, block]) => {
      if (!isCut || block.type !== 'call') return this.#closeBlock(position)
      this.#open.delete(position)
      return []
    })
  }

  #end(event: TerminalEvent): UIMessageChunk[] {
    return isContinued(event) ? this.endRun() : [...this.endRun(), ...this.endParts(), ...this.#lastWords(event)]
  }

  /** Ends what a run has left open. Another run may continue the answer. */
  endRun(): UIMessageChunk[] {
    const closed = [...this.#closeBlocks({ isCut: true }), ...this.#calls.close(), ...this.#endStep()]
    this.#segment++
    this.#length = 0
    this.#cycleStart = 0
    return closed
  }

  /** The parts that come last of all. */
  endParts(): UIMessageChunk[] {
    return [...this.#sources.rest()]
  }

  #lastWords(event: TerminalEvent): UIMessageChunk[] {
    const status = statusOfTerminal(event)
    const output = this.#output === undefined ? {} : { output: this.#output }
    const verbatim: AnswerMetadata = { status, metrics: event.metrics, ...output }
    const finish = { type: 'finish', finishReason: toFinishReason(status, this.#stopReason) } as const
    if (event.type === 'run_failed') {
      const { error } = event
      return [
        { type: 'message-metadata', messageMetadata: { verbatim: { ...verbatim, error } } },
        { type: 'error', errorText: error.message },
        finish, // some readers wait for it
      ]
    }
    const abort: UIMessageChunk[] = event.type === 'run_cancelled' ? [{ type: 'abort' }] : []
    return [...abort, { ...finish, messageMetadata: { verbatim } }]
  }
}

/** An empty delta would be a chunk that shows nothing. */
function textDelta(id: string, delta: string): UIMessageChunk[] {
  return delta === '' ? [] : [{ type: 'text-delta', id, delta }]
}

function reasoningDelta(id: string, delta: string): UIMessageChunk[] {
  return delta === '' ? [] : [{ type: 'reasoning-delta', id, delta }]
}
