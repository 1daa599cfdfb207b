import { aiSdk } from '@verbatim/ai-sdk/agent'
import { z } from 'zod'
import { anthropic } from './model.ts'
import { tools } from './tools.ts'

const guide = aiSdk({
  id: 'guide',
  model: anthropic('claude-sonnet-5-5'),
  system: 'You are a travel guide. Be brief.',
  tools,
})

// The model, and the system prompt, may be another one for each run: by who asks, or by what the caller gives.
const chosen = aiSdk({
  id: 'chosen',
  input: z.object({ isHard: z.boolean() }),
  model: ({ input }) => anthropic(input.isHard ? 'claude-opus-5-5' : 'claude-haiku-5'),
  system: ({ principal }) => `You speak with ${principal.userId}.`,
})

// What the answer must be. The engine checks it before the run completes: `run.output`.
const report = aiSdk({
  id: 'report',
  model: anthropic('claude-sonnet-5-5'),
  output: z.object({ city: z.string(), days: z.int() }),
})

// A run whose process dies goes on in another one.
const patient = aiSdk({
  id: 'patient',
  model: anthropic('claude-sonnet-5-5'),
  onCrash: 'continue',
  maxOutputTokens: 8_192,
  settings: { temperature: 0.2 },
  providerOptions: { anthropic: { sendReasoning: true } },
})

export const agents = [guide, chosen, report, patient] as const
