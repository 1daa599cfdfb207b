import type {
  DocumentBlockParam,
  ImageBlockParam,
  RedactedThinkingBlockParam,
  TextBlockParam,
  ThinkingBlockParam,
  ToolResultBlockParam,
  ToolUseBlockParam,
} from '@anthropic-ai/sdk/resources/messages'
import type { CompactionBlock } from '../../contract/content-block.ts'
import type { Message, MessageRole } from '../../contract/message.ts'
import type { ProviderBlock } from '../../contract/provider-block.ts'

/** What of a message matters to the model. */
export type Turn = Pick<Message, 'role' | 'content'>

/** What a request is made of. */
export interface Conversation {
  readonly turns: readonly Turn[]
  /** The provider's summary of what came before `turns`. */
  readonly compaction?: CompactionBlock | undefined
  /** True when it ends with an answer that the provider goes on with. */
  readonly isPaused?: boolean | undefined
}

/** A block as the API takes it. */
export type ClaudeBlock =
  | TextBlockParam
  | ThinkingBlockParam
  | RedactedThinkingBlockParam
  | ToolUseBlockParam
  | ToolResultBlockParam
  | ImageBlockParam
  | DocumentBlockParam
  | ProviderBlock

export interface ClaudeMessage {
  readonly role: MessageRole
  readonly content: ClaudeBlock[]
}

/** A block on its way to the API. */
export interface DraftBlock {
  readonly param: ClaudeBlock
  /** True when the API gets it, and all before it in its message, as the model said it. */
  readonly isExact: boolean
  /** On thinking: the fingerprint of what it was thought from. */
  readonly boundTo?: string | undefined
  /** On a call: its input as the model wrote it, where `param` cannot say the same. */
  readonly inputText?: string | undefined
  /** On images and documents: the bytes of the request that the model does not read as text. */
  readonly unreadBytes?: number | undefined
}

export interface DraftMessage {
  readonly role: MessageRole
  readonly blocks: readonly DraftBlock[]
}

export function isThinking({ type }: ClaudeBlock): boolean {
  return type === 'thinking' || type === 'redacted_thinking'
}

/** The JSON of a message, with the input of each call as the model wrote it. */
export function toMessageText({ role, blocks }: DraftMessage): string {
  return `{"role":"${role}","content":[${blocks.map(toBlockText).join(',')}]}`
}

function toBlockText({ param, inputText }: DraftBlock): string {
  if (inputText === undefined || !('input' in param)) return JSON.stringify(param)
  const { input: _input, ...rest } = param
  return `${JSON.stringify(rest).slice(0, -1)},"input":${inputText}}`
}
