/** The agents of a team's server. Their type is all that its clients import. */
import { claude } from '@verbatim/core/claude'
import { agent } from '@verbatim/core/agent'
import { z } from 'zod'

export const Report = z.object({
  title: z.string(),
  items: z.array(z.object({ name: z.string(), price: z.number() })),
})
export type Report = z.infer<typeof Report>

export const Period = z.object({ since: z.iso.date(), limit: z.int().default(10) })

export const agents = [
  claude(),
  claude({ id: 'report', output: Report }),
  claude({ id: 'ledger', input: Period, system: ({ input }) => `${input.limit} rows since ${input.since}` }),
  agent({
    id: 'echo',
    input: z.object({ loud: z.boolean() }).optional(),
    output: z.object({ said: z.string() }),
    data: { progress: z.object({ done: z.int(), total: z.int() }), note: z.string() },
    async *stream({ input, principal, emit }) {
      await emit('progress', { done: 1, total: 2 }, { id: 'words' })
      // @ts-expect-error -- progress has a total
      await emit('progress', { done: 2 })
      // @ts-expect-error -- the agent has no data of this name
      await emit('progres', { done: 2, total: 2 })
      yield JSON.stringify({ said: input?.loud === true ? principal.userId.toUpperCase() : principal.userId })
    },
  }),
] as const
