import { isDeepStrictEqual } from 'node:util'
import type { ContentBlock, ToolUseBlock } from '../../contract/content-block.ts'
import { unknownOutcome } from '../../contract/interruption.ts'
import type { Message } from '../../contract/message.ts'

/**
 * Tells, in a run that goes on from a lost one, whether `call` was made there and may have taken effect. The model is told not
 * to make it again; this is what holds when it does. Once a person has said something, it is theirs to decide.
 */
export function mayHaveRun(call: ToolUseBlock, messages: readonly Message[]): boolean {
  const lastWord = messages.findLastIndex(({ role, continuationOf }) => role === 'user' && continuationOf === null)
  const blocks = messages.slice(lastWord + 1).flatMap(({ content }) => content)
  const unknownIds = new Set(blocks.flatMap(idOfUnknown))
  return blocks.some((block) => block.type === 'tool_use' && unknownIds.has(block.id) && isSameCall(block, call))
}

function idOfUnknown(block: ContentBlock): string[] {
  return block.type === 'tool_result' && block.content === unknownOutcome ? [block.tool_use_id] : []
}

function isSameCall(one: ToolUseBlock, other: ToolUseBlock): boolean {
  return one.name === other.name && isDeepStrictEqual(one.input, other.input)
}
