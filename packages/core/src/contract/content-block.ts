/** Content blocks as Anthropic's Messages API names them, so that history goes back to the model unchanged. */
import { z } from 'zod'

const maxJsonDepth = 32

/** JSON that a database gives back as it was: no key it would refuse or drop, no endless number, not too deep. */
export const JsonValue = z.json().refine((value) => isStorable(value), 'Must be JSON that can be stored')
export type JsonValue = z.infer<typeof JsonValue>

/** @internal */
export function isStorable(value: unknown, depthLeft = maxJsonDepth): boolean {
  if (typeof value === 'number') return Number.isFinite(value) // 1e400 parses, and is no JSON any more
  if (typeof value !== 'object' || value === null) return true
  if (depthLeft === 0) return false
  return Object.entries(value).every(
    ([key, inner]) =>
      key !== '__proto__' && !key.includes('\0') && key.isWellFormed() && isStorable(inner, depthLeft - 1),
  )
}

/** Text of the user or the model. */
export const TextBlock = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  citations: z.array(JsonValue).optional(),
})
/** The model's thinking; `signature` proves to the provider that it is the model's own. */
export const ThinkingBlock = z.strictObject({
  type: z.literal('thinking'),
  thinking: z.string(),
  signature: z.string(),
})
/** Thinking that only the provider can read; goes back to it unchanged. */
export const RedactedThinkingBlock = z.strictObject({ type: z.literal('redacted_thinking'), data: z.string() })
/** The model's call of a tool; `id` names the call for its result. */
export const ToolUseBlock = z.strictObject({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: JsonValue,
})
/** What the tool of the call `tool_use_id` answered. */
export const ToolResultBlock = z.strictObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: z.string(),
  is_error: z.boolean(),
})

/** One block of a message's content. */
export const ContentBlock = z.discriminatedUnion('type', [
  TextBlock,
  ThinkingBlock,
  RedactedThinkingBlock,
  ToolUseBlock,
  ToolResultBlock,
])
export type ContentBlock = z.infer<typeof ContentBlock>
export type TextBlock = z.infer<typeof TextBlock>
export type ThinkingBlock = z.infer<typeof ThinkingBlock>
export type ToolUseBlock = z.infer<typeof ToolUseBlock>
export type ToolResultBlock = z.infer<typeof ToolResultBlock>

/** The text of `content`, without thinking and tools. */
export function textOf(content: readonly ContentBlock[]): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
}
