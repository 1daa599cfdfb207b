/**
 * Blocks that a provider makes and reads: the tools that it runs itself, and whatever it invents next. They are kept as they came, with
 * every field, known here or not, and go back to it unchanged. Programs that show messages ignore the types that they do not know.
 */
import { z } from 'zod'
import { isJson } from './json-value.ts'
import type { JsonValue } from './json-value.ts'

/** A call of a tool that the provider runs: web search, web fetch, code execution. */
export interface ServerToolUseBlock {
  readonly type: 'server_tool_use'
  readonly id: string
  readonly name: string
  readonly input: JsonValue
  /** As in a `tool_use`: the input as the model wrote it, where that is not the JSON of `input`. */
  readonly inputJson?: string | undefined
}

/** A call of a tool of an MCP server that the provider is connected to. */
export interface McpToolUseBlock {
  readonly type: 'mcp_tool_use'
  readonly id: string
  readonly name: string
  readonly server_name: string
  readonly input: JsonValue
  /** As in a `tool_use`: the input as the model wrote it, where that is not the JSON of `input`. */
  readonly inputJson?: string | undefined
}

/** What a tool that the provider runs answered. Its `content` is the provider's; `sourcesOf` reads the pages in it. */
export interface ServerToolResultBlock {
  readonly type:
    | 'web_search_tool_result'
    | 'web_fetch_tool_result'
    | 'code_execution_tool_result'
    | 'bash_code_execution_tool_result'
    | 'text_editor_code_execution_tool_result'
    | 'tool_search_tool_result'
  readonly tool_use_id: string
  readonly content: JsonValue
}

/** What a tool of an MCP server answered to the provider. */
export interface McpToolResultBlock {
  readonly type: 'mcp_tool_result'
  readonly tool_use_id: string
  readonly is_error?: boolean | undefined
  readonly content: JsonValue
}

/** A file that code which the provider ran has left in its container. */
export interface ContainerUploadBlock {
  readonly type: 'container_upload'
  readonly file_id: string
}

/**
 * What a provider wants back of the blocks of one model call, which stand right before it: signatures, ids, encrypted thoughts. It is for
 * that model alone: a program that shows messages leaves it out, and another model does not receive it.
 */
export interface ModelMetadataBlock {
  readonly type: 'model_metadata'
  readonly provider: string
  readonly model: string
  /** A fingerprint of all that the model had before the call. */
  readonly boundTo: string
  /** One for each block of the call, in order; null where there is nothing to say of it. */
  readonly blocks: JsonValue
}

/** A type that this version does not know: any other text. The pattern, which no known type has, lets `block.type === 'text'` narrow. */
export type OtherBlockType = `${string}\u0000`

/** A block of a type that this version does not know. Made from JSON with `OtherBlock.parse`. */
export interface OtherBlock {
  readonly type: OtherBlockType
  readonly [field: string]: JsonValue
}

export type ProviderBlock =
  | ServerToolUseBlock
  | McpToolUseBlock
  | ServerToolResultBlock
  | McpToolResultBlock
  | ContainerUploadBlock
  | ModelMetadataBlock
  | OtherBlock

type KnownType = Exclude<ProviderBlock, OtherBlock>['type']

/** What the known ones must have. All else may change with the provider. */
const requiredFields = {
  server_tool_use: { id: isText, name: isText, input: isAny, inputJson: isTextOrMissing },
  mcp_tool_use: { id: isText, name: isText, server_name: isText, input: isAny, inputJson: isTextOrMissing },
  web_search_tool_result: { tool_use_id: isText, content: isAny },
  web_fetch_tool_result: { tool_use_id: isText, content: isAny },
  code_execution_tool_result: { tool_use_id: isText, content: isAny },
  bash_code_execution_tool_result: { tool_use_id: isText, content: isAny },
  text_editor_code_execution_tool_result: { tool_use_id: isText, content: isAny },
  tool_search_tool_result: { tool_use_id: isText, content: isAny },
  mcp_tool_result: { tool_use_id: isText, is_error: isBooleanOrMissing, content: isAny },
  container_upload: { file_id: isText },
  model_metadata: { provider: isText, model: isText, boundTo: isText, blocks: Array.isArray },
} as const satisfies Record<KnownType, Readonly<Record<string, (value: unknown) => boolean>>>

/** Types that this contract gives a shape of its own; a block of such a type is never another one's. */
const ownTypes: ReadonlySet<string> = new Set([
  'text',
  'image',
  'document',
  'thinking',
  'redacted_thinking',
  'tool_use',
  'tool_result',
  'compaction',
])

/** Checked in place, as JSON is: a copy would lose what this version does not know. */
export const ProviderBlock = z.custom<ProviderBlock>(
  (block) => isTypedJson(block) && faultOfProviderBlock(block) === undefined,
  'Is no block of a provider',
)

/** A block of a type that this version does not know, from JSON. */
export const OtherBlock = z.custom<OtherBlock>(
  (block) => isTypedJson(block) && !isKnownType(block.type) && faultOfProviderBlock(block) === undefined,
  'Is no block of another type',
)

/** The field of a provider's block that is missing or wrong; undefined when there is none. */
export function faultOfProviderBlock(block: TypedJson): string | undefined {
  if (ownTypes.has(block.type)) return 'type'
  if (!isKnownType(block.type)) return undefined
  const [field] = Object.entries(requiredFields[block.type]).find(([name, isRight]) => !isRight(block[name])) ?? []
  return field
}

/** Whether `block` is one of the provider's, which is kept as it came. */
export function isProviderBlock<TBlock extends { readonly type: string }>(
  block: TBlock,
): block is TBlock & ProviderBlock {
  return !ownTypes.has(block.type)
}

/** JSON that says its type. */
export type TypedJson = { readonly type: string } & { readonly [field: string]: JsonValue }

/** Whether `value` is JSON that says its type. */
export function isTypedJson(value: unknown): value is TypedJson {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  return 'type' in value && typeof value.type === 'string' && value.type !== '' && isJson(value)
}

function isKnownType(type: string): type is KnownType {
  return Object.hasOwn(requiredFields, type)
}

function isText(value: unknown): boolean {
  return typeof value === 'string'
}

function isTextOrMissing(value: unknown): boolean {
  return value === undefined || isText(value)
}

function isBooleanOrMissing(value: unknown): boolean {
  return value === undefined || typeof value === 'boolean'
}

function isAny(value: unknown): boolean {
  return value !== undefined
}
