import { textOf, VerbatimError } from '@verbatim/core'
import type { AgentEvent } from '@verbatim/core'
import type { Agent } from '@verbatim/core/server'

/** The message that {@link promptedAgent} throws on `/crash`; no response may ever show it. */
export const faultCanary = 'CANARY-sk-ant-0000-mongodb://user:hunter2@db'

/** An agent that follows its prompt: it says the words, waits at `/wait` for {@link PromptedAgent.release}, and so on. */
export interface PromptedAgent extends Agent {
  /** Ends the wait of every run, now or later. */
  release(): void
}

/** Commands: `/wait`, `/hang` (until cancelled), `/fail` (a fault of the provider), `/crash` (a bug), `/big` (32 KB); else a word. */
export function promptedAgent(): PromptedAgent {
  let release = () => {}
  const released = new Promise<void>((resolve) => (release = resolve))
  const untilStopped = async (signal: AbortSignal) =>
    await new Promise<never>((_resolve, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason), { once: true })
    })
  return {
    id: 'prompted',
    release: () => release(),
    async *stream({ messages }, signal): AsyncGenerator<AgentEvent> {
      yield { type: 'message_start', message: { model: 'prompted-1', usage: { input_tokens: 3 } } }
      yield { type: 'content_block_start', index: 0, content_block: { type: 'text', text: '' } }
      for (const word of textOf(messages.at(-1)?.content ?? []).split(' ')) {
        if (word === '/wait') await Promise.race([released, untilStopped(signal)])
        else if (word === '/hang') await untilStopped(signal)
        else if (word === '/fail') throw new VerbatimError('PROVIDER_ERROR', 'The provider is overloaded')
        else if (word === '/crash') throw new Error(faultCanary)
        else yield textDelta(word === '/big' ? 'x'.repeat(32 * 1024) : `${word} `)
        // A batch of its own, so that tests see words arrive one by one.
        await new Promise((resolve) => setImmediate(resolve))
      }
      yield { type: 'content_block_stop', index: 0 }
      yield {
        type: 'message_delta',
        delta: { stop_reason: 'end_turn', stop_sequence: null },
        usage: { output_tokens: 7 },
      }
      yield { type: 'message_stop' }
    },
  }
}

function textDelta(text: string): AgentEvent {
  return { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
}
