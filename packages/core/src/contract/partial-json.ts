/**
 * Reads the beginning of a JSON text. In: the text so far. Out: what of it is certain. A string may grow, and arrays and objects get more;
 * a number, a literal and a key are there once they are whole. So a value never changes its type while the text grows.
 */

import { maxJsonDepth } from './json-value.ts'

/** Strings, whole or cut by the end of the text (then the group is empty); punctuation; numbers and literals. */
const tokens = /"[^"\\]*(?:\\[^][^"\\]*)*("?)|[{}[\],:]|[^\s{}[\],:"]+/g

/** Undefined while nothing is certain, and for what is no JSON or nested too deep to be an output. */
export function parsePartialJson(text: string): unknown {
  /** What closes the open objects and arrays, the outermost first. It does not change between what is certain and the end. */
  const open: string[] = []
  let certain = ''
  let isKey = false
  for (const { 0: token, 1: quote, index } of text.matchAll(tokens)) {
    const end = index + token.length
    if (token === ',' || token === ':') {
      isKey = token === ',' && open.at(-1) === '}'
      continue
    }
    if (isOpener(token)) open.push(token === '{' ? '}' : ']')
    else if (token === '}' || token === ']') open.pop()
    else if (isKey || (quote === undefined && end === text.length)) continue // a key without its value, a number that may go on
    isKey = token === '{'
    certain = quote === '' ? text.slice(0, index) + closeString(text.slice(index)) : text.slice(0, end)
    if (open.length === 0) break
    if (open.length > maxJsonDepth) return undefined
  }
  return parse(certain + open.toReversed().join(''))
}

function isOpener(token: string): boolean {
  return token === '{' || token === '['
}

/** Half an escape, and half of a surrogate pair, at the end of a string. A backslash before it is a whole escape. */
const cutEscape = /(?<=(?:^|[^\\])(?:\\\\)*)(?:\\ud[89ab][\da-f]{2})?(?:\\(?:u[\da-f]{0,3})?)?$/i

function closeString(cut: string): string {
  return `${cut.replace(cutEscape, '')}"`
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    return undefined
  }
}
