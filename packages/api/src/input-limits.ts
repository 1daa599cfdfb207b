/** What no input may hold, wherever it is: JSON that storage could not give back as it came. */
import { VerbatimError } from '@verbatim/core'

/** Deeper than any input of ours, and shallow enough for every parser behind. */
const maxDepth = 48

interface Place {
  readonly value: unknown
  readonly field: string
  readonly depth: number
}

/**
 * Walks `input` without recursion, so that no depth can exhaust the stack.
 *
 * @throws VerbatimError `INVALID_INPUT` naming the field: nested too deep, a lone surrogate, a NUL, or the key `__proto__`
 */
export function checkInput(input: unknown): void {
  const open: Place[] = [{ value: input, field: '', depth: 0 }]
  for (let place = open.pop(); place !== undefined; place = open.pop()) {
    const { value, field, depth } = place
    if (typeof value === 'string') checkText(value, field)
    if (typeof value !== 'object' || value === null) continue
    if (depth === maxDepth) throw refusal(field, 'is nested too deep')
    for (const [key, inner] of Object.entries(value)) {
      const path = depth > 3 ? field : `${field}${field === '' ? '' : '.'}${key}`.slice(0, 128)
      checkText(key, path)
      if (key === '__proto__') throw refusal(path, 'is not a key')
      open.push({ value: inner, field: path, depth: depth + 1 })
    }
  }
}

function checkText(text: string, field: string): void {
  if (!text.isWellFormed()) throw refusal(field, 'holds a lone surrogate, so it is not Unicode text')
  if (text.includes('\0')) throw refusal(field, 'holds a NUL character')
}

function refusal(field: string, reason: string): VerbatimError {
  const shown = field.toWellFormed().replaceAll('\0', '')
  return new VerbatimError('INVALID_INPUT', `${shown}: ${reason}`, { data: { field: shown } })
}
