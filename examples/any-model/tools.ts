import type { Tools } from '@verbatim/ai-sdk/agent'
import { tool as verbatimTool } from '@verbatim/core/claude'
import { tool } from 'ai'
import { z } from 'zod'

// A tool of the AI SDK, as you have it. `contextSchema` picks what it receives of who asks.
const weather = tool({
  description: 'The weather of a city, now',
  inputSchema: z.object({ city: z.string() }),
  contextSchema: z.object({ principal: z.object({ userId: z.string() }) }),
  metadata: { idempotent: true },
  execute: ({ city }, { context }) => `${context.principal.userId} asks: it rains in ${city}`,
})

// A tool of Verbatim has who asks, streams its progress, and reads the input digit for digit.
const book = verbatimTool({
  name: 'book',
  description: 'Books a trip',
  input: z.object({ city: z.string() }),
  run: async ({ city }, { principal, emit }) => {
    await emit('progress', { of: city, done: 1 })
    return `Booked ${city} for ${principal.userId}`
  },
})

export const tools: Tools = { weather, book }
