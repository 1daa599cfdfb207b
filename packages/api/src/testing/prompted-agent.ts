import { textOf, VerbatimError } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'
import { createGate, scriptedAgent } from '@verbatim/core/testing'
import type { ScriptStep } from '@verbatim/core/testing'

/** The message that {@link promptedAgent} throws on `/crash`; no response may ever show it. */
export const faultCanary = 'CANARY-sk-ant-0000-mongodb://user:hunter2@db'

/** An agent that follows its prompt: it says the words, waits at `/wait` for {@link PromptedAgent.release}, and so on. */
export interface PromptedAgent extends Agent {
  /** Ends the wait of every run, now or later. */
  release(): void
}

/** Commands: `/wait`, `/hang` (until cancelled), `/fail` (a fault of the provider), `/crash` (a bug), `/big` (32 KB); else a word. */
export function promptedAgent(): PromptedAgent {
  const waiting = createGate()
  const steps: Record<string, () => ScriptStep> = {
    '/wait': () => waiting,
    '/hang': createGate,
    '/fail': () => new VerbatimError('PROVIDER_ERROR', 'The provider is overloaded'),
    '/crash': () => new Error(faultCanary),
    '/big': () => 'x'.repeat(32 * 1024),
  }
  const agent = scriptedAgent(async function* ({ messages }) {
    for (const word of textOf(messages.at(-1)?.content ?? []).split(' ')) {
      yield steps[word]?.() ?? `${word} `
      // A batch of its own, so that tests see words arrive one by one.
      await new Promise((resolve) => setImmediate(resolve))
    }
  })
  return { ...agent, release: () => waiting.open() }
}
