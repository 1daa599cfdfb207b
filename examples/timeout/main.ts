import { setTimeout } from 'node:timers/promises'
import { textOf } from '@verbatim/core'
import { agent, createSessionManager } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

const slow = agent({
  id: 'slow',
  // On by default (60 s to the first token, 120 s between two, 10 min in total); `claude()` takes them too.
  timeouts: { idleMs: 300 },
  async *stream(_request, signal) {
    yield 'Let me think '
    await setTimeout(60_000, undefined, { signal })
  },
})

await using session = await createSessionManager({ ...mongo, sessionId: 'user-123', agents: [slow] })

// A model that hangs ends the run, and not the program.
const hanging = session.send('Hello?')
await hanging.message.catch(() => {})
console.log(hanging.status, hanging.error?.code, hanging.error?.data.kind)

// A person who waits no longer stops the run. What was streamed is kept.
const run = session.send('Hello again?')
for await (const _text of run.text) await run.cancel()
const message = await run.message
console.log(message.status, JSON.stringify(textOf(message.content)))
