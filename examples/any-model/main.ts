import { textOf } from '@verbatim/core'
import { SessionManagerFactory } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'
import { agents } from './agents.ts'

await using factory = await SessionManagerFactory.connect({ ...mongo, agents })
const session = factory.createSessionManager({ sessionId: 'trip', principal: { userId: 'ada' } })

for await (const text of session.send('Where shall I go?').text) process.stdout.write(text)

// Another model goes on with the same conversation. It receives the words, and none of the first model's thoughts.
const second = await session.send('And then?', { agentId: 'chosen', input: { isHard: false } }).message
console.log(`\n${textOf(second.content)} (${second.metrics?.model})`)
