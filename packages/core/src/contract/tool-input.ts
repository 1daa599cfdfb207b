/**
 * The input of a tool call, from the JSON that a model wrote to what a program can hold, and without loss.
 * JavaScript rounds large numbers, sorts keys that look like numbers and keeps one of two equal keys.
 */
import { isJson, maxJsonDepth } from './json-value.ts'
import type { ToolUseBlock } from './content-block.ts'
import type { JsonValue } from './json-value.ts'
import { endOfString } from './input-bounds.ts'

/** `input` for programs, and `inputJson` where the model did not write the very text that `input` has as JSON. */
export type ToolInput = Pick<ToolUseBlock, 'input' | 'inputJson'>

/**
 * What a call's JSON text says. An integer that JavaScript cannot hold becomes the string of its digits, and so does a number
 * past its range. Text that is not whole JSON comes back as `{ malformed: text }`: see {@link isWholeInput}.
 */
export function readToolInput(text: string): ToolInput {
  const input = parseInput(text)
  if (input === undefined) return { input: { malformed: text }, inputJson: text }
  if (!isJson(input)) return { input: { json: text }, inputJson: text }
  return JSON.stringify(input) === text ? { input } : { input, inputJson: text }
}

/** False for input that the model did not finish or wrote wrongly: no tool may run on it. */
export function isWholeInput({ inputJson }: ToolInput): boolean {
  return inputJson === undefined || parseInput(inputJson) !== undefined
}

/** The input for a tool: all that was written, also what the stored `input` could not hold. */
export function toolInputOf({ input, inputJson }: ToolInput): JsonValue {
  return (inputJson === undefined ? undefined : parseInput(inputJson)) ?? input
}

function parseInput(text: string): JsonValue | undefined {
  try {
    JSON.parse(text) // with its numbers in quotes, text may be JSON that was none before
    const input = JSON.parse(mapNumbers(text, toHeldNumber)) as JsonValue // JSON.parse yields nothing but JSON
    return text.includes('\\u') || !text.isWellFormed() ? toWellFormed(input, maxJsonDepth) : input
  } catch {
    return undefined
  }
}

/**
 * Replaces the numbers of JSON text. One walk, whatever the text holds: a regular expression starts again at each quote of a
 * string that does not end.
 */
function mapNumbers(text: string, map: (found: string) => string): string {
  let mapped = ''
  let from = 0
  for (let at = 0; at < text.length;) {
    const end = endOfToken(text, at)
    if (isNumeric(text.charCodeAt(at))) {
      const found = text.slice(at, end)
      const next = map(found)
      if (next !== found) {
        mapped += text.slice(from, at) + next
        from = end
      }
    }
    at = end
  }
  return from === 0 ? text : mapped + text.slice(from)
}

const quote = 34

/** Past the string or the number that begins at `at`, or past one other character. */
function endOfToken(text: string, at: number): number {
  const code = text.charCodeAt(at)
  if (code === quote) return endOfString(text, at) + 1
  let end = at + 1
  while (isNumeric(code) && isNumeric(text.charCodeAt(end))) end++
  return end
}

/** A character of a number: digits, sign, point, exponent. Letters of `true` and `false` are among them, and change nothing. */
function isNumeric(code: number): boolean {
  return (code >= 48 && code <= 57) || code === 45 || code === 46 || code === 43 || code === 101 || code === 69
}

const numberPattern = /^-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?$/
/** JavaScript holds each number of so few characters, unless it has an exponent or is a zero with a sign. */
const heldLength = 15

/** A number as JavaScript and storage hold it: in quotes when they cannot, and no zero with a sign. */
function toHeldNumber(found: string): string {
  if (found.length <= heldLength && !/[-eE]/.test(found)) return found
  if (!numberPattern.test(found)) return found
  if (Number(found) === 0 && canHold(found)) return '0'
  return canHold(found) ? found : `"${found}"`
}

/** A fraction may be rounded, as everywhere in JavaScript; an integer is often a name, and one digit off is another one. */
function canHold(literal: string): boolean {
  const value = Number(literal)
  return Number.isFinite(value) && (!Number.isInteger(value) || isExactNumber(literal))
}

/** Tells whether JavaScript holds the very number that `literal` writes. */
function isExactNumber(literal: string): boolean {
  return decimalOf(literal) === decimalOf(String(Number(literal)))
}

/** One spelling for each number: its digits without zeros around them, and the place of the last one. */
function decimalOf(literal: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal) ?? []
  const digits = whole + fraction
  let first = 0
  while (digits[first] === '0') first++
  let end = digits.length
  while (end > first && digits[end - 1] === '0') end--
  const place = Number(exponent) - fraction.length + (digits.length - end)
  return first === end ? '0' : `${sign}${digits.slice(first, end)}e${place}`
}

/** In place: no half of a character, as storage gives text back. Deeper than JSON may nest, it stops: what it leaves is refused. */
function toWellFormed(value: JsonValue, depthLeft: number): JsonValue {
  if (typeof value === 'string') return value.toWellFormed()
  if (typeof value !== 'object' || value === null || depthLeft === 0) return value
  const holder = value as Record<string, JsonValue> // an array's indexes are keys too
  for (const key of Object.keys(holder)) {
    const before = holder[key] ?? null
    const after = toWellFormed(before, depthLeft - 1)
    // By definition, not by assignment: `__proto__` is a key like any other in JSON.
    if (after !== before)
      Object.defineProperty(holder, key, { value: after, enumerable: true, configurable: true, writable: true })
  }
  return value
}
