import { claude } from '@verbatim/core/claude'
import { createSessionManager } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

await using session = await createSessionManager({ ...mongo, sessionId: 'user-123', agents: [claude()] })

const run = session.send('Explain async programming in TypeScript')

process.stdout.write('Assistant: ')
for await (const text of run.text) process.stdout.write(text)
console.log('\n[Stream complete]')
