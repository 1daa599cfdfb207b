import { claude } from '@verbatim/core/claude'
import { createSessionManager } from '@verbatim/core/server'

await using session = await createSessionManager({
  uri: 'mongodb://localhost:27017',
  sessionId: 'session-1',
  agents: [claude({ system: 'You are brief.' })],
})
const run = await session.startRun({ message: 'Explain async iteration' })
for await (const { events } of session.follow(run.id, { signal: AbortSignal.timeout(60_000) })) console.log(events)
console.log(await session.history())
