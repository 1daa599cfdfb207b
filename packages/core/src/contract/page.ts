import { z } from 'zod'

/**
 * A page ends before the item that takes it past so many bytes of storage, be its `limit` reached or not; it holds one item at least.
 * A megabyte is far more than a screen shows, and takes a server a few milliseconds.
 */
export const maxPageBytes = 1024 * 1024

/** Which page a list call asks for: where the page before ended, and how many items at most. */
export const PageInput = z.strictObject({
  /** `nextCursor` of the page before; opaque. */
  cursor: z.string().min(1).max(512).nullish(),
  limit: z.int().min(1).max(100).default(50),
})
export type PageInput = z.infer<typeof PageInput>

/** A page of `item`s; `nextCursor` is null on the last one. */
export function pageOf<TItem extends z.ZodType>(item: TItem) {
  return z.strictObject({ items: z.array(item), nextCursor: z.string().nullable() })
}

/** One page of a list; `nextCursor` is null on the last one, and only there: a page may be shorter than its limit. */
export interface Page<TItem> {
  items: TItem[]
  nextCursor: string | null
}
