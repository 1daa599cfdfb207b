import { isJson } from '../../contract/json-value.ts'
import type { JsonValue } from '../../contract/json-value.ts'
import { isWholeInput, toolInputOf } from '../../contract/tool-input.ts'
import type { ToolInput } from '../../contract/tool-input.ts'

type JsonObject = { [key: string]: JsonValue }

/** The input of a stored call for the API, which takes objects only. */
export interface ExactInput {
  /** What JavaScript cannot hold is a string in it. */
  readonly value: JsonObject
  /** The JSON that the model wrote, where it is not that of `value`. */
  readonly text?: string
}

export function toExactInput(block: ToolInput): ExactInput {
  const { input, inputJson } = block
  if (inputJson === undefined || !isWholeInput(block)) return { value: toObject(input) }
  const whole = toolInputOf(block)
  // JSON that is nested so deep is more than the parser of a provider may take: `input` holds it as a string.
  if (!isJson(whole)) return { value: toObject(input) }
  const value = toObject(whole)
  if (/\\u[dD]/.test(inputJson) && halves.test(JSON.stringify(JSON.parse(inputJson)))) return { value }
  return { value, text: isObject(whole) ? inputJson : `{"input":${inputJson}}` }
}

/** What JSON.stringify escapes: half of a surrogate pair. The API refuses it ("no low surrogate in string"). */
const halves = /(?<!\\)((?:\\\\)*)\\ud[89a-f][0-9a-f]{2}/

function toObject(input: JsonValue): JsonObject {
  const json = JSON.stringify(input)
  const whole = halves.test(json)
    ? (JSON.parse(json.replaceAll(new RegExp(halves, 'g'), '$1\\ufffd')) as JsonValue) // JSON as before
    : input
  return isObject(whole) ? whole : { input: whole }
}

function isObject(input: JsonValue): input is JsonObject {
  return typeof input === 'object' && input !== null && !Array.isArray(input)
}
