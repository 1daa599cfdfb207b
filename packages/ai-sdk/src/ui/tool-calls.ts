/** The tool calls of one answer. The AI SDK finds a call by its id; a model may give two calls the same one. */
import type { JsonValue, McpToolUseBlock, ServerToolUseBlock, ToolUseBlock } from '@verbatim/core'
import type { UIMessageChunk } from 'ai'
import type { ToolOutput } from './tool-output.ts'

export type CallBlock = ToolUseBlock | ServerToolUseBlock | McpToolUseBlock

/** The result of a call whose answer ended first. Without it, its user interface would wait for the tool for ever. */
const noResult = 'The answer ended before this tool had a result'

interface Call {
  /** The block's own id, which results name. */
  readonly id: string
  /** Where the block stands in the answer. */
  readonly position: number
  /** What the call's chunks have in common. */
  readonly head: CallHead
  input: JsonValue
  hasInput: boolean
  isAnswered: boolean
}

interface CallHead {
  readonly toolCallId: string
  readonly toolName: string
  readonly dynamic?: true
  readonly providerExecuted?: true
}

export function isCall(block: { readonly type: string }): block is CallBlock {
  return block.type === 'tool_use' || block.type === 'server_tool_use' || block.type === 'mcp_tool_use'
}

/** Makes the chunks of calls and of their results. */
export class ToolCalls {
  readonly #calls: Call[] = []
  readonly #uses = new Map<string, number>()

  /** A call whose input is going to be streamed. */
  begin(block: CallBlock, position: number): UIMessageChunk[] {
    return [{ type: 'tool-input-start', ...this.#register(block, position).head }]
  }

  /** A part of the input's JSON. */
  extend(position: number, inputTextDelta: string): UIMessageChunk[] {
    const call = this.#calls.find((one) => one.position === position)
    if (call === undefined || inputTextDelta === '') return []
    return [{ type: 'tool-input-delta', toolCallId: call.head.toolCallId, inputTextDelta }]
  }

  /** A call with its whole input. */
  ask(block: CallBlock, position: number): UIMessageChunk[] {
    const call = this.#register(block, position)
    call.input = block.input
    call.hasInput = true
    return [{ type: 'tool-input-available', ...call.head, input: block.input }]
  }

  /** The result of the first call of this id that has none. A result without a call is not shown: the AI SDK would fail on it. */
  answer(id: string, result: ToolOutput): UIMessageChunk[] {
    const named = this.#calls.filter((one) => one.id === id)
    const call = named.find(({ isAnswered }) => !isAnswered) ?? named.at(-1)
    if (call === undefined) return []
    call.isAnswered = true
    const { toolCallId, providerExecuted } = call.head
    const head = { toolCallId, ...(providerExecuted === undefined ? {} : { providerExecuted }) }
    return 'errorText' in result
      ? [{ type: 'tool-output-error', ...head, errorText: result.errorText }]
      : [{ type: 'tool-output-available', ...head, output: result.output }]
  }

  /** Ends the calls that have no result, and forgets all: what follows are the calls of another run. */
  close(): UIMessageChunk[] {
    const open = this.#calls.splice(0).filter(({ isAnswered }) => !isAnswered)
    return open.map(({ head, hasInput, input }) =>
      hasInput
        ? { type: 'tool-output-error', toolCallId: head.toolCallId, errorText: noResult }
        : { type: 'tool-input-error', ...head, input, errorText: noResult },
    )
  }

  #register(block: CallBlock, position: number): Call {
    const known = this.#calls.find((call) => call.position === position)
    // A provider's block may come again, more complete, in its place.
    if (known !== undefined) return known
    const used = this.#uses.get(block.id) ?? 0
    this.#uses.set(block.id, used + 1)
    const call: Call = {
      id: block.id,
      position,
      head: toHead(block, used === 0 ? block.id : `${block.id}~${used}`),
      input: block.input,
      hasInput: false,
      isAnswered: false,
    }
    this.#calls.push(call)
    return call
  }
}

function toHead({ type, name }: CallBlock, toolCallId: string): CallHead {
  if (type === 'tool_use') return { toolCallId, toolName: name }
  return { toolCallId, toolName: name, providerExecuted: true, ...(type === 'mcp_tool_use' ? { dynamic: true } : {}) }
}
