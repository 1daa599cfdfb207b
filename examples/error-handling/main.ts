import { isVerbatimError, textOf } from '@verbatim/core'
import { agent, createSessionManager } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

let attempts = 0
const flaky = agent({
  id: 'flaky',
  async *stream() {
    yield 'The answer is '
    if (++attempts === 1) throw new Error('The model went away')
    yield '42.'
  },
})

await using session = await createSessionManager({ ...mongo, sessionId: 'user-123', agents: [flaky] })

const run = session.send('What is the answer?')
try {
  for await (const text of run.text) process.stdout.write(text)
} catch (error) {
  // What failed has a code. A fault of the agent is masked, and in the log under its correlation id.
  console.log(`\n[${isVerbatimError(error) ? error.code : 'unknown'}]`)
}

// Nothing to save: the part is stored, with how it ended.
const partial = (await session.history()).at(-1)
console.log(partial?.status, JSON.stringify(textOf(partial?.content ?? [])))

// The prompt is stored, too. This asks it again.
const retried = await session.retry(run.id).message
console.log(retried.status, JSON.stringify(textOf(retried.content)))
