import { Agent, tool } from '@strands-agents/sdk'
import { SessionManagerFactory } from '@verbatim/core/server'
import { runOf, strands } from '@verbatim/strands'
import { z } from 'zod'
import { mongo } from '../mongo.ts'
import { LocalModel } from './model.ts'

// Tools are Strands' own. What the model asks for is stored before they run, and they know who asks.
const weather = tool({
  name: 'weather',
  description: 'Tells the weather of a city',
  inputSchema: z.object({ city: z.string() }),
  callback: ({ city }, context) => `sunny in ${city}, ${runOf(context).principal.userId}`,
})

// An agent for each run, as many as there are at a time. `printer: false`: a server does not print answers.
const helper = strands(
  ({ principal }) =>
    new Agent({
      model: new LocalModel(),
      tools: [weather],
      systemPrompt: `You help ${principal.userId}.`,
      printer: false,
    }),
  { id: 'helper' },
)

await using factory = await SessionManagerFactory.connect({ ...mongo, agents: [helper] })
const session = factory.createSessionManager({ sessionId: 'strands-1', principal: { userId: 'ada' } })

const run = session.send('How is the weather?')
for await (const text of run.text) process.stdout.write(text)
const { content, metrics } = await run.message
console.log(`\n${content.map(({ type }) => type).join(', ')}: ${metrics?.totalTokens} tokens`)
