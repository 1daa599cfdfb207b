import type { JsonValue, ToolUseBlock } from '../../contract/content-block.ts'
import { isExactNumber, isWholeInput, toolInputOf } from '../../contract/tool-input.ts'

type Reviver = (key: string, value: unknown, context?: { readonly source?: string }) => unknown
/** What Node 22 and later can do, and TypeScript's library does not yet say. */
type RawJson = typeof JSON & {
  parse(text: string, reviver: Reviver): unknown
  rawJSON?(text: string): JsonValue
}

/** The input of a stored call for the API, its numbers digit for digit. Node 20 sends the large ones as strings. */
export function toExactInput(block: ToolUseBlock): JsonValue {
  const { inputJson } = block
  const json: RawJson = JSON
  if (inputJson === undefined || !isWholeInput(block)) return block.input
  if (json.rawJSON === undefined) return toolInputOf(block)
  const revive: Reviver = (_key, value, context) =>
    typeof value === 'number' && context?.source !== undefined && !isExactNumber(context.source)
      ? json.rawJSON?.(context.source)
      : value
  return json.parse(inputJson, revive) as JsonValue // JSON, with some numbers in another box
}
