/** What a tool answered, as the AI SDK shows it: the value, or the text of an error. */
import { textOfResult } from '@verbatim/core'
import type { JsonValue, McpToolResultBlock, ServerToolResultBlock, ToolResultContent } from '@verbatim/core'

/** The result of one call. */
export type ToolOutput = { readonly output: unknown } | { readonly errorText: string }

const failed = 'The tool failed'

/** What a tool of the agent answered. */
export function toToolOutput(content: ToolResultContent, isError: boolean): ToolOutput {
  const text = textOfResult(content)
  if (isError) return { errorText: text === '' ? failed : text }
  if (typeof content !== 'string' && content.some(({ type }) => type !== 'text')) return { output: content }
  return { output: toValue(text) }
}

/** A tool that returns an object or a list is stored as its JSON; any other text stays text. */
function toValue(text: string): unknown {
  if (!/^\s*[{[]/.test(text)) return text
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

/** What a tool that the provider ran answered. */
export function toProviderOutput(block: ServerToolResultBlock | McpToolResultBlock): ToolOutput {
  const { content } = block
  if (block.type === 'mcp_tool_result') {
    return block.is_error === true ? { errorText: textIn(content) } : { output: content }
  }
  const code = errorCodeIn(content)
  return code === undefined ? { output: content } : { errorText: code }
}

/** The provider answers an object of a type such as `web_search_tool_result_error` in place of results. */
function errorCodeIn(content: JsonValue): string | undefined {
  if (typeof content !== 'object' || content === null || Array.isArray(content)) return undefined
  const { type, error_code: code } = content
  if (typeof type !== 'string' || !type.endsWith('_error')) return undefined
  return typeof code === 'string' ? code : failed
}

function textIn(content: JsonValue): string {
  if (typeof content === 'string') return content
  const texts = Array.isArray(content) ? content.flatMap(textOfPart) : []
  return texts.length === 0 ? failed : texts.join('')
}

function textOfPart(part: JsonValue): string[] {
  if (typeof part !== 'object' || part === null || Array.isArray(part)) return []
  return typeof part['text'] === 'string' ? [part['text']] : []
}
