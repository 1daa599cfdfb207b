import { claude } from '@verbatim/core/claude'
import { SessionManagerFactory } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

// Once a program: one pool of connections, any number of sessions.
await using factory = await SessionManagerFactory.connect({
  ...mongo,
  agents: [claude({ id: 'assistant', system: 'You are a helpful assistant.' })],
})

async function* chat(sessionId: string, prompt: string): AsyncGenerator<string> {
  await using session = factory.createSessionManager({ sessionId })
  // The prompt, each piece of the answer, the message and its metrics are stored before you see them.
  yield* session.send(prompt).text
}

for await (const text of chat('user-123', 'Hello!')) process.stdout.write(text) // or to a socket

const session = factory.createSessionManager({ sessionId: 'user-123' })
const messages = await session.history()
console.log(`\n${messages.length} messages are stored`)
