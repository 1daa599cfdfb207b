import { claude } from '@verbatim/core/claude'
import { closeGlobalFactory, getGlobalFactory, initializeGlobalFactory } from '@verbatim/core/server'
import { mongo } from '../mongo.ts'

// At the program's start.
await initializeGlobalFactory({ ...mongo, agents: [claude()] })

// Anywhere in it.
const factory = await getGlobalFactory()
const session = factory.createSessionManager({ sessionId: 'user-123' })
for await (const text of session.send('Hello!').text) process.stdout.write(text)

// At its end.
await closeGlobalFactory()
