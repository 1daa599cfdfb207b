/** The client's words for what is shown, so that every component names them alike. */
import type { UseChatResult } from '@verbatim/client/react'

export type ChatMessage = UseChatResult['messages'][number]
export type ChatError = NonNullable<UseChatResult['error']>
export type ContentBlock = ChatMessage['content'][number]
export type TextBlock = Extract<ContentBlock, { type: 'text' }>
/** A call of a tool that the model's provider ran. */
export type ServerCallBlock = Extract<ContentBlock, { type: 'server_tool_use' | 'mcp_tool_use' }>
export type ToolUseBlock = Extract<ContentBlock, { type: 'tool_use' }>
export type ToolResultBlock = Extract<ContentBlock, { type: 'tool_result' }>
export type RunMetrics = NonNullable<ChatMessage['metrics']>
