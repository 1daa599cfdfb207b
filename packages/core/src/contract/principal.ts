import { z } from 'zod'

/** The caller, as the application's `authenticate` answers it. */
export const Principal = z.strictObject({
  userId: z.string().min(1).max(256),
  tenantId: z.string().min(1).max(256).default('default'),
  scopes: z.array(z.string().max(128)).max(64).default([]),
})
export type Principal = z.infer<typeof Principal>

declare const ownerBrand: unique symbol

/**
 * The owner of sessions, runs and messages. Every repository call takes one, and only {@link ownerOf} makes one,
 * so that a query without an owner does not compile (promise P7).
 */
export interface Owner {
  readonly tenantId: string
  readonly ownerId: string
  readonly [ownerBrand]: true
}

/** The owner that `principal` acts as. */
export function ownerOf(principal: Principal): Owner {
  return Object.freeze({ tenantId: principal.tenantId, ownerId: principal.userId }) as Owner // the only place that brands
}
