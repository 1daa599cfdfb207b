import { textOf } from '@verbatim/core'
import { claude } from '@verbatim/core/claude'
import { createSessionManager } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

await using session = await createSessionManager({ ...mongo, sessionId: 'user-123', agents: [claude()] })

// A conversation goes on by its session's id: the agent receives its history.
console.log(`Goes on after ${(await session.history()).length} messages`)
const run = session.send('Continue our discussion')

// A reader that goes away after the first piece, and remembers where it was.
let cursor = ''
let seen = ''
for await (const batch of run.batches) {
  seen += batch.events.map((event) => ('delta' in event && 'text' in event.delta ? event.delta.text : '')).join('')
  cursor = batch.cursor
  if (seen !== '') break
}

// Later, or in another process, it gets exactly what comes next.
for await (const text of session.follow(run.id, { after: cursor }).text) seen += text

const message = await run.message
console.log(seen === textOf(message.content) ? 'Nothing lost, nothing doubled' : 'Something is missing')
