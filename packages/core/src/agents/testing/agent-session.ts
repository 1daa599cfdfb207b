/** For the tests of what reaches a model: a session, as the engine keeps it, and the strict provider of its agents. */
import { callEnd, callStart, startProviderOf, textBlock, thinkingBlock } from '@verbatim/test-kit/provider'
import type { Provider, ProviderCall, ProviderOptions, ProviderReply } from '@verbatim/test-kit/provider'
import type { Message } from '../../contract/message.ts'
import { emptyAnswer, reduceEvents } from '../../contract/reduce-events.ts'
import type { Agent } from '../../ports/agent.ts'
import { agentRequest } from '../../testing/agent-request.ts'
import type { ClaudeOptionsInput } from '../claude.ts'
import { claudeAt, collect, messagesOf, never } from './ask-agent.ts'

/** Answers with a thought that the provider has signed, and some words. */
export const thinking: ProviderReply = (call) => {
  call.send(callStart({ input: call.tokens }), ...thoughtOf(call), ...textBlock('Well.', 1), ...callEnd())
  call.end()
}

/** Says yes, and how many tokens the request had. */
export const yes: ProviderReply = (call) => {
  call.send(callStart({ input: call.tokens }), ...textBlock('Yes.'), ...callEnd())
  call.end()
}

/** @param before what of the answer stands before the thought */
export function thoughtOf(call: ProviderCall, index = 0, before: Parameters<ProviderCall['sign']>[0] = []) {
  return thinkingBlock(index, 'Hm.', call.sign(before))
}

export async function openSession(reply: ProviderReply = thinking, options: ProviderOptions = {}) {
  const provider = await startProviderOf(() => reply, options)
  const messages: Message[] = []
  const store = (message: Partial<Message>) => messages.push(...messagesOf([message], messages.length + 1))
  return {
    provider,
    messages,
    agent: (more: ClaudeOptionsInput = {}) => claudeAt(provider.url, { maxRetries: 0, ...more }),
    /** A prompt and its answer, which is stored too. */
    async prompt(agent: Agent, text = 'Go on', signal = never) {
      store({ role: 'user', content: [{ type: 'text', text }] })
      const size = agent.maxHistoryMessages ?? 40
      const window = messages.slice(-size)
      const hasOlder = messages.length > size
      const request = agentRequest({ sessionId: 's', messages: window, hasOlder })
      const { events, error } = await collect(agent.stream(request, signal))
      const { content } = reduceEvents(emptyAnswer, { firstSeq: 1, events })
      store({ role: 'assistant', content: [...content] })
      return { events, error, content }
    },
    store,
    [Symbol.asyncDispose]: async () => await provider[Symbol.asyncDispose](),
  }
}

/** How many thoughts each request had. */
export function thoughtsIn({ calls }: Provider): number[] {
  return calls.map(
    ({ body }) => body.messages.flatMap(({ content }) => content).filter(({ type }) => type === 'thinking').length,
  )
}
