/** Content blocks as Anthropic's Messages API names them, so that history goes back to the model unchanged. */
import { z } from 'zod'

/** Any JSON value; what a tool takes. */
export const JsonValue = z.json()
export type JsonValue = z.infer<typeof JsonValue>

export const TextBlock = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  citations: z.array(JsonValue).optional(),
})
export const ThinkingBlock = z.strictObject({
  type: z.literal('thinking'),
  thinking: z.string(),
  signature: z.string(),
})
export const RedactedThinkingBlock = z.strictObject({ type: z.literal('redacted_thinking'), data: z.string() })
export const ToolUseBlock = z.strictObject({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: JsonValue,
})
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
