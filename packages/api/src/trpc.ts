/** The only `initTRPC`. It has no transformer, since the wire is plain JSON; a team's root may have one, see create-router.ts. */
import { initTRPC } from '@trpc/server'
import { toErrorShape } from './to-error-shape.ts'

export const t = initTRPC.context<object>().create({
  // Outside of production tRPC's default sends stacks to the client.
  isDev: false,
  errorFormatter: toErrorShape,
  // For a router on tRPC's own adapters; createApi's writer has the same intervals as defaults.
  sse: { ping: { enabled: true, intervalMs: 10_000 }, client: { reconnectAfterInactivityMs: 30_000 } },
})
