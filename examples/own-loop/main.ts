import { createSessionManager } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

/** Whatever makes your answers. */
async function* model(prompt: string): AsyncGenerator<string> {
  yield 'You asked: '
  yield prompt
}

await using session = await createSessionManager({ ...mongo, sessionId: 'user-123' })

// Append, stream, append: you hold the stream, Verbatim keeps the messages. A crash in the middle loses the answer; an agent
// (../own-agent) does not.
const prompt = 'Explain async programming'
await session.appendMessage({ role: 'user', content: prompt, agentId: 'assistant' })

const startedMs = performance.now()
let answer = ''
for await (const text of model(prompt)) {
  answer += text
  process.stdout.write(text)
}

const stored = await session.appendMessage({
  role: 'assistant',
  content: answer,
  agentId: 'assistant',
  metrics: { latencyMs: performance.now() - startedMs, inputTokens: 12, outputTokens: 9 },
})
console.log(`\n${stored.metrics?.totalTokens} tokens are stored with message ${stored.seq}`)
