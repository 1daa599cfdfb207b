// What the reader has.
import type { Engine } from '@verbatim/core/server'
import { initTRPC } from '@trpc/server'

interface Context {
  readonly user: { readonly id: string } | null
}
declare const engine: Engine
const t = initTRPC.context<Context>().create()
const posts = t.router({})

// What the README shows.
import { createAppRouter } from '@verbatim/api'

const verbatim = createAppRouter({ engine, principalOf: (ctx: Context) => ctx.user && { userId: ctx.user.id } })
export const appRouter = t.router({ verbatim, posts }) // your `t`, your context, your transformer
