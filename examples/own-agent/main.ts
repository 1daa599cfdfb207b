import { textOf } from '@verbatim/core'
import { agent, SessionManagerFactory } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

// A generator of text is enough. Whatever it yields is stored, streamed and resumed like Claude's words.
const echo = agent({
  id: 'echo',
  async *stream({ messages, principal }) {
    yield `Hello ${principal.userId}, you said: `
    yield textOf(messages.at(-1)?.content ?? [])
  },
})

// Any SDK's stream will do, and events say more than text: here, the tokens that were used.
const counting = agent({
  id: 'counting',
  async *stream() {
    yield* new Blob(['One, two, three.']).stream().pipeThrough(new TextDecoderStream())
    yield {
      type: 'message_delta',
      delta: { stop_reason: 'end_turn', stop_sequence: null },
      usage: { input_tokens: 4, output_tokens: 6 },
    }
  },
})

await using factory = await SessionManagerFactory.connect({ ...mongo, agents: [echo, counting] })
const session = factory.createSessionManager({ sessionId: 'user-123', principal: { userId: 'ada' } })

for await (const text of session.send('Good morning').text) process.stdout.write(text)

const counted = await session.send('Count', { agentId: 'counting' }).message
console.log(`\n${textOf(counted.content)} (${counted.metrics?.outputTokens} tokens)`)

// An agent for one run need not be registered. Should the process die, this run is not continued.
const once = agent({ id: 'once', stream: () => 'Only this time.' })
console.log(textOf((await session.send('And now?', { agent: once }).message).content))
