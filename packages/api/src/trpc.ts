/** The one `initTRPC`. Its transformer is none (the wire is plain JSON); a team's own root may use another, see create-router.ts. */
import { initTRPC } from '@trpc/server'
import { toErrorShape } from './to-error-shape.ts'

export const t = initTRPC.context<object>().create({
  // Stacks are for logs; tRPC's default would send them outside of production.
  isDev: false,
  errorFormatter: toErrorShape,
  // For those who serve the router with tRPC's own adapters; createApi has its own writer with the same figures.
  sse: { ping: { enabled: true, intervalMs: 10_000 }, client: { reconnectAfterInactivityMs: 30_000 } },
})
