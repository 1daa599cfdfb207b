import { z } from 'zod'

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

/** One page of a list; `nextCursor` is null on the last one. */
export interface Page<TItem> {
  items: TItem[]
  nextCursor: string | null
}
