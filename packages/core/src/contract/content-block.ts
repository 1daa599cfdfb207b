/** Content blocks as Anthropic's Messages API names them, so that history goes back to the model unchanged. */
import { z } from 'zod'
import { JsonValue } from './json-value.ts'
import { DocumentBlock, ImageBlock } from './media-block.ts'
import { OtherBlock, ProviderBlock } from './provider-block.ts'

/** Text of the user or the model. */
export const TextBlock = z.strictObject({
  type: z.literal('text'),
  text: z.string(),
  /** As the provider sent them; `citationsOf` reads them. */
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
  /** What made the call, where that was not the model itself but code of its own. It goes back to the provider unchanged. */
  caller: JsonValue.optional(),
})
/** A block of a tool's result: what a model can read, and kinds that only the provider of that model knows (`search_result`). */
export const ToolResultPart = z.union([
  z.discriminatedUnion('type', [TextBlock, ImageBlock, DocumentBlock]),
  OtherBlock,
])
export type ToolResultPart = z.infer<typeof ToolResultPart>
/** What a tool answered: text, or blocks. */
export const ToolResultContent = z.union([z.string(), z.array(ToolResultPart)])
export type ToolResultContent = z.infer<typeof ToolResultContent>

/** What the tool of the call `tool_use_id` answered. */
export const ToolResultBlock = z.strictObject({
  type: z.literal('tool_result'),
  tool_use_id: z.string(),
  content: ToolResultContent,
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

/** The blocks that have a shape of this contract's. */
export const OwnBlock = z.discriminatedUnion('type', [
  TextBlock,
  ImageBlock,
  DocumentBlock,
  ThinkingBlock,
  RedactedThinkingBlock,
  ToolUseBlock,
  ToolResultBlock,
  CompactionBlock,
])
export type OwnBlock = z.infer<typeof OwnBlock>

/**
 * One block of a message's content. A type that is not named here is an {@link OtherBlock}, kept as it came: a `switch` over the types
 * needs a `default`.
 */
export const ContentBlock = z.union([OwnBlock, ProviderBlock])
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

/** The text of a tool's result; what is no text is left out. */
export function textOfResult(content: ToolResultContent): string {
  return typeof content === 'string' ? content : textOf(content)
}
