import { Agent, SlidingWindowConversationManager } from '@strands-agents/sdk'
import { isVerbatimError } from '@verbatim/core'
import { SessionManagerFactory } from '@verbatim/core/server'
import { StrandsSession } from '@verbatim/strands'
import { mongo } from '../mongo.ts'
import { LocalModel } from './model.ts'

await using factory = await SessionManagerFactory.connect({ ...mongo, agents: [] })
const session = factory.createSessionManager({ sessionId: 'User-123', principal: { userId: 'ada' } })

// The agent is yours, and you call it. Its messages and its state are the session's.
function openAgent(): Agent {
  return new Agent({
    id: 'helper',
    model: new LocalModel(),
    printer: false,
    conversationManager: new SlidingWindowConversationManager({ windowSize: 4 }),
    sessionManager: new StrandsSession(session),
  })
}

const agent = openAgent()
for (let turn = 1; turn <= 5; turn++) await agent.invoke(`Question ${turn}`)
const { items } = await session.listMessages({ limit: 100 })
console.log(`${items.length} messages are stored, ${agent.messages.length} are in the window`)

// Another process, or the next request: the same id goes on with the same window.
const next = openAgent()
const { lastMessage } = await next.invoke('One more')
console.log(lastMessage.content.map((block) => (block.type === 'textBlock' ? block.text : '')).join(''))

// The first agent has not seen that turn. It is refused before it stores anything.
await agent.invoke('And one more').catch((error: unknown) => {
  console.log(isVerbatimError(error) ? error.code : 'unknown')
})
