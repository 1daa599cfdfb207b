/** Content blocks as Anthropic's Messages API names them, so that history goes back to the model unchanged. */
import { z } from 'zod'

/** JSON of any keys and any order. Deeper than this it is refused: what walks or prints JSON is recursive. */
export const maxJsonDepth = 256

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

/** Checked in place, never copied: a copy by assignment loses the key `__proto__`. */
export const JsonValue = z.custom<JsonValue>((value) => isJson(value), 'Must be JSON')

/** @internal */
export function isJson(value: unknown, depthLeft = maxJsonDepth): value is JsonValue {
  if (typeof value === 'number') return Number.isFinite(value) // 1e400 parses, and is no JSON any more
  if (typeof value !== 'object' || value === null) return value === null || isScalar(value)
  if (depthLeft === 0) return false
  if (!Array.isArray(value) && !isPlainObject(value)) return false
  for (const inner of Object.values(value)) if (!isJson(inner, depthLeft - 1)) return false
  return true
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean'
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}

/** Text of the user or the model. */
export const TextBlock = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  citations: z.array(JsonValue).optional(),
})
/** A fingerprint of all that the model had before it thought this. A provider may refuse the block after anything else. */
const boundTo = z.string().optional()

/** The model's thinking; `signature` proves to the provider that it is the model's own. */
export const ThinkingBlock = z.strictObject({
  type: z.literal('thinking'),
  thinking: z.string(),
  signature: z.string(),
  boundTo,
})
/** Thinking that only the provider can read; goes back to it unchanged. */
export const RedactedThinkingBlock = z.strictObject({
  type: z.literal('redacted_thinking'),
  data: z.string(),
  boundTo,
})
/** The model's call of a tool; `id` names the call for its result. */
export const ToolUseBlock = z.strictObject({
  type: z.literal('tool_use'),
  id: z.string(),
  name: z.string(),
  input: JsonValue,
  /** The input as the model wrote it, where that is not the JSON of `input`: see `readToolInput`. */
  inputJson: z.string().optional(),
})
/** What the tool of the call `tool_use_id` answered. */
export const ToolResultBlock = z.strictObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: z.string(),
  is_error: z.boolean(),
})
/**
 * The provider's own summary of the messages before, which goes back to it in their place. It is for the model alone: a program
 * that shows messages leaves it out.
 */
export const CompactionBlock = z.strictObject({
  type: z.literal('compaction'),
  /** The block as the provider sent it. It takes the block back only unchanged. */
  sent: JsonValue,
  /** The seq of the newest message that it takes the place of. */
  coversSeq: z.int().nonnegative(),
  boundTo,
})

/** One block of a message's content. */
export const ContentBlock = z.discriminatedUnion('type', [
  TextBlock,
  ThinkingBlock,
  RedactedThinkingBlock,
  ToolUseBlock,
  ToolResultBlock,
  CompactionBlock,
])
export type ContentBlock = z.infer<typeof ContentBlock>
export type TextBlock = z.infer<typeof TextBlock>
export type ThinkingBlock = z.infer<typeof ThinkingBlock>
export type ToolUseBlock = z.infer<typeof ToolUseBlock>
export type ToolResultBlock = z.infer<typeof ToolResultBlock>
export type CompactionBlock = z.infer<typeof CompactionBlock>

/** The text of `content`, without thinking and tools. */
export function textOf(content: readonly ContentBlock[]): string {
  return content.map((block) => (block.type === 'text' ? block.text : '')).join('')
}
