import { isJson } from '../../contract/content-block.ts'
import type { JsonValue, ToolUseBlock } from '../../contract/content-block.ts'
import { isWholeInput, toolInputOf } from '../../contract/tool-input.ts'

type JsonObject = { [key: string]: JsonValue }

/** The input of a stored call for the API, which takes objects only. */
export interface ExactInput {
  /** What JavaScript cannot hold is a string in it. */
  readonly value: JsonObject
  /** The JSON that the model wrote, where it is not that of `value`. */
  readonly text?: string
}

export function toExactInput(block: ToolUseBlock): ExactInput {
  const { input, inputJson } = block
  if (inputJson === undefined || !isWholeInput(block)) return { value: toObject(input) }
  const whole = toolInputOf(block)
  // JSON that is nested so deep is more than the parser of a provider may take: `input` holds it as a string.
  if (!isJson(whole)) return { value: toObject(input) }
  return { value: toObject(whole), text: isObject(whole) ? inputJson : `{"input":${inputJson}}` }
}

function toObject(input: JsonValue): JsonObject {
  return isObject(input) ? input : { input }
}

function isObject(input: JsonValue): input is JsonObject {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}
