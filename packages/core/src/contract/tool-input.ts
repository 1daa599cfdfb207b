/**
 * The input of a tool call, from the JSON that a model wrote to what a program can hold, and without loss.
 * JavaScript rounds large numbers, sorts keys that look like numbers and keeps one of two equal keys.
 */
import { isJson } from './content-block.ts'
import type { JsonValue, ToolUseBlock } from './content-block.ts'

/** `input` for programs, and `inputJson` where it does not say all that the model wrote. */
export type ToolInput = Pick<ToolUseBlock, 'input' | 'inputJson'>

/**
 * What a call's JSON text says. An integer that JavaScript cannot hold becomes the string of its digits, and so does a number
 * past its range. Text that is not whole JSON comes back as `{ malformed: text }`: see {@link isWholeInput}.
 */
export function readToolInput(text: string): ToolInput {
  const input = parseInput(text)
  if (input === undefined) return { input: { malformed: text }, inputJson: text }
  if (!isJson(input)) return { input: { json: text }, inputJson: text }
  return JSON.stringify(input) === withoutSpace(text) ? { input } : { input, inputJson: text }
}

/** False for input that the model did not finish or wrote wrongly: no tool may run on it. */
export function isWholeInput({ inputJson }: ToolInput): boolean {
  return inputJson === undefined || parseInput(inputJson) !== undefined
}

/** The input for a tool: all that was written, also what the stored `input` could not hold. */
export function toolInputOf({ input, inputJson }: ToolInput): JsonValue {
  return (inputJson === undefined ? undefined : parseInput(inputJson)) ?? input
}

const token = /"[^"\\]*(?:\\.[^"\\]*)*"|-?\d+(?:\.\d+)?(?:[eE][+-]?\d+)?|\s+/g

function parseInput(text: string): JsonValue | undefined {
  try {
    const exact = text.replace(token, (found) => (isNumber(found) && !canHold(found) ? `"${found}"` : found))
    return JSON.parse(exact, storable) as JsonValue // JSON.parse yields nothing but JSON
  } catch {
    return undefined
  }
}

function withoutSpace(text: string): string {
  return text.replace(token, (found) => (found.trim() === '' ? '' : found))
}

function isNumber(found: string): boolean {
  return /^[-\d]/.test(found)
}

/** A fraction may be rounded, as everywhere in JavaScript; an integer is often a name, and one digit off is another one. */
function canHold(literal: string): boolean {
  const value = Number(literal)
  return Number.isFinite(value) && (!Number.isInteger(value) || isExactNumber(literal))
}

/** Tells whether JavaScript holds the very number that `literal` writes. */
export function isExactNumber(literal: string): boolean {
  return decimalOf(literal) === decimalOf(String(Number(literal)))
}

/** One spelling for each number: its digits without zeros around them, and the place of the last one. */
function decimalOf(literal: string): string {
  const [, sign = '', whole = '', fraction = '', exponent = '0'] =
    /^(-?)(\d+)(?:\.(\d+))?(?:[eE]([+-]?\d+))?$/.exec(literal) ?? []
  const digits = (whole + fraction).replace(/^0+/, '')
  const significant = digits.replace(/0+$/, '')
  const place = Number(exponent) - fraction.length + (digits.length - significant.length)
  return significant === '' ? '0' : `${sign}${significant}e${place}`
}

/** What storage gives back as it was: no half of a character, and no zero with a sign. */
function storable(_key: string, value: unknown): unknown {
  if (typeof value === 'string') return value.toWellFormed()
  return value === 0 ? 0 : value
}
