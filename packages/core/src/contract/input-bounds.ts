/**
 * How much JSON one call may bring. Bytes alone do not bound the work: a megabyte of `[1,1,…]` is half a million values, and each
 * later step costs more for a value than for a character. All of it is checked before any schema sees the input.
 */
import { VerbatimError } from './errors.ts'

export const inputBounds = {
  /** Values of one input: objects, arrays and what they hold. */
  maxNodes: 50_000,
  /** Keys of all objects of one input. A key costs several times what a value costs. */
  maxKeys: 20_000,
  /** Deeper than any valid input, and shallow enough for every later parser. */
  maxDepth: 48,
  /** Characters of one key. */
  maxKeyLength: 1_024,
} as const

const quote = 34
const comma = 44
const colon = 58
const openArray = 91
const backslash = 92
const closeArray = 93
const openObject = 123
const closeObject = 125

const tooMany = `holds more than ${inputBounds.maxNodes} values`
const tooManyKeys = `holds more than ${inputBounds.maxKeys} keys`
const tooDeep = `is nested more than ${inputBounds.maxDepth} levels deep`

/** Why JSON text is too much for one call, found before a parser makes its values. Text that is no JSON may pass; the parser refuses it. */
export function excessOfText(text: string): string | undefined {
  let nodes = 1
  let keys = 0
  let depth = 0
  for (let at = 0; at < text.length; at++) {
    switch (text.charCodeAt(at)) {
      case quote:
        at = endOfString(text, at)
        break
      case openArray:
      case openObject:
        if (++depth > inputBounds.maxDepth) return tooDeep
        if (++nodes > inputBounds.maxNodes) return tooMany
        break
      case closeArray:
      case closeObject:
        depth--
        break
      case comma:
        if (++nodes > inputBounds.maxNodes) return tooMany
        break
      case colon:
        if (++keys > inputBounds.maxKeys) return tooManyKeys
        break
    }
  }
  return undefined
}

/** {@link excessOfText} of a parsed value, which also shows the length of keys and numbers past JavaScript's range. */
export function excessOfValue(input: unknown): string | undefined {
  let nodes = 0
  let keys = 0
  function visit(value: unknown, depth: number): string | undefined {
    if (++nodes > inputBounds.maxNodes) return tooMany
    if (typeof value === 'number' && !Number.isFinite(value)) return 'holds a number that is out of range'
    if (typeof value !== 'object' || value === null) return undefined
    if (depth === inputBounds.maxDepth) return tooDeep
    if (Array.isArray(value)) return firstExcess(value, depth)
    for (const [key, inner] of Object.entries(value)) {
      if (++keys > inputBounds.maxKeys) return tooManyKeys
      if (key.length > inputBounds.maxKeyLength)
        return `holds a key of more than ${inputBounds.maxKeyLength} characters`
      const excess = visit(inner, depth + 1)
      if (excess !== undefined) return excess
    }
    return undefined
  }
  function firstExcess(list: readonly unknown[], depth: number): string | undefined {
    for (const inner of list) {
      const excess = visit(inner, depth + 1)
      if (excess !== undefined) return excess
    }
    return undefined
  }
  return visit(input, 0)
}

/** @throws VerbatimError `INVALID_INPUT` when there is an `excess` */
export function refuseExcess(excess: string | undefined): void {
  if (excess === undefined) return
  throw new VerbatimError('INVALID_INPUT', `The input ${excess}`, { data: { field: '' } })
}

/** Where the string that begins at `start` has its closing quote; the end of the text when it has none. @internal */
export function endOfString(text: string, start: number): number {
  for (let at = text.indexOf('"', start + 1); at !== -1; at = text.indexOf('"', at + 1)) {
    let first = at
    while (text.charCodeAt(first - 1) === backslash) first--
    if ((at - first) % 2 === 0) return at
  }
  return text.length
}
