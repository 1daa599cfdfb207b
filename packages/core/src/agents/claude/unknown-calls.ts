import { isDeepStrictEqual } from 'node:util'
import type { ToolUseBlock } from '../../contract/content-block.ts'
import { unknownOutcome } from '../../contract/interruption.ts'
import type { Message } from '../../contract/message.ts'
import { toolInputOf } from '../../contract/tool-input.ts'

/**
 * In a continuation: whether the lost run made `call`, which then may have taken effect. The prompt asks the model not to make it
 * again; this holds when the model does. After the next prompt of a person, that person decides.
 */
export function mayHaveRun(call: ToolUseBlock, messages: readonly Message[]): boolean {
  const lastWord = messages.findLastIndex(({ role, continuationOf }) => role === 'user' && continuationOf === null)
  return messages
    .slice(lastWord + 1)
    .some((message) => callsWithoutOutcome(message).some((made) => isSameCall(made, call)))
}

/** A provider may give two calls the same id: each result is that of the oldest call of its id without one. */
function callsWithoutOutcome({ content }: Message): ToolUseBlock[] {
  const open: ToolUseBlock[] = []
  return content.flatMap((block) => {
    if (block.type === 'tool_use') open.push(block)
    if (block.type !== 'tool_result') return []
    const at = open.findIndex(({ id }) => id === block.tool_use_id)
    const [call] = at === -1 ? [] : open.splice(at, 1)
    return call !== undefined && block.content === unknownOutcome ? [call] : []
  })
}

/** Tells whether two calls ask the same tool for the same thing, however they spell it. */
export function isSameCall(one: ToolUseBlock, other: ToolUseBlock): boolean {
  return one.name === other.name && isDeepStrictEqual(toolInputOf(one), toolInputOf(other))
}
