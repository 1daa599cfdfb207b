import { createClient } from '@verbatim/client'
import type { AgentsOf } from '@verbatim/client'
import { claude } from '@verbatim/core/claude'
import { z } from 'zod'

// The server: its agents, the first of which is the default.
export const agents = [
  claude(),
  claude({
    id: 'books',
    input: z.object({ year: z.int() }),
    output: z.object({ owed: z.number(), to: z.array(z.string()) }),
  }),
] as const

// The client: it imports the type of `agents` alone.
const verbatim = createClient<AgentsOf<typeof agents>>({ url: 'http://127.0.0.1:8787' })
const run = verbatim.chat('session-2').send('What do we owe?', { agentId: 'books', input: { year: 2026 } })

for await (const { to } of run.partialOutput) console.log(to) // as it grows
const { owed } = await run.output // the server has checked it
console.log(owed.toFixed(2))
