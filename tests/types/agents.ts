/** The agents of a team's server. Their type is all that its clients import. */
import { claude } from '@verbatim/core/claude'
import { z } from 'zod'

export const Report = z.object({
  title: z.string(),
  items: z.array(z.object({ name: z.string(), price: z.number() })),
})
export type Report = z.infer<typeof Report>

export const agents = [claude(), claude({ id: 'report', output: Report })] as const
