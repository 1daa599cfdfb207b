import { claude } from '@verbatim/core/claude'
import { SessionManagerFactory } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

// `await using` closes it at the end of the block, also after an error.
await using factory = await SessionManagerFactory.connect({ ...mongo, agents: [claude()] })

{
  await using session = factory.createSessionManager({ sessionId: 'user-123' }) // needs no connection of its own
  const run = session.send('Write a long story')
  await run.started
} // The session's handles are closed. The run goes on.

// A program that serves stops in this order on SIGTERM: no new runs, the running ones end, then everything closes.
await factory.engine.drain({ graceMs: 10_000 })
console.log('Drained:', factory.engine.stats().runsEnded)
