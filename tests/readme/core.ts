import { claude } from '@verbatim/core/claude'
import { createSessionManager } from '@verbatim/core/server'

await using session = await createSessionManager({
  uri: 'mongodb://localhost:27017',
  sessionId: 'session-1',
  agents: [claude({ system: 'You are brief.' })],
})
const run = session.send('Explain async iteration')
for await (const text of run.text) process.stdout.write(text)
console.log(await session.history())
