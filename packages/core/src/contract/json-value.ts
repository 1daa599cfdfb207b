import { z } from 'zod'

/** JSON of any keys and any order. Deeper than this it is refused: what walks or prints JSON is recursive. */
export const maxJsonDepth = 256

export type JsonValue = string | number | boolean | null | JsonValue[] | { [key: string]: JsonValue }

/** Checked in place, never copied: a copy by assignment loses the key `__proto__`. */
export const JsonValue = z.custom<JsonValue>((value) => isJson(value), 'Must be JSON')

/** @internal */
export function isJson(value: unknown, depthLeft = maxJsonDepth): value is JsonValue {
  if (typeof value === 'number') return Number.isFinite(value) // 1e400 parses, and is no JSON any more
  if (typeof value !== 'object' || value === null) return value === null || isScalar(value)
  if (depthLeft === 0) return false
  if (!Array.isArray(value) && !isPlainObject(value)) return false
  for (const inner of Object.values(value)) if (!isJson(inner, depthLeft - 1)) return false
  return true
}

function isScalar(value: unknown): boolean {
  return typeof value === 'string' || typeof value === 'boolean'
}

function isPlainObject(value: object): boolean {
  const prototype: unknown = Object.getPrototypeOf(value)
  return prototype === Object.prototype || prototype === null
}
