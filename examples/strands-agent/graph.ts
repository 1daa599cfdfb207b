import { Agent, Graph } from '@strands-agents/sdk'
import { SessionManagerFactory } from '@verbatim/core/server'
import { StrandsSession } from '@verbatim/strands'
import { mongo } from '../mongo.ts'
import { LocalModel } from './model.ts'

await using factory = await SessionManagerFactory.connect({ ...mongo, agents: [] })
const session = factory.createSessionManager({ sessionId: 'plan-1', principal: { userId: 'ada' } })
const member = (id: string) => new Agent({ id, model: new LocalModel(), printer: false })

// After each node its state is stored. A process that is lost leaves the rest to the next one.
const graph = new Graph({
  id: 'plan',
  nodes: [member('research'), member('write')],
  edges: [['research', 'write']],
  maxSteps: 10,
  sessionManager: new StrandsSession(session),
})
const { status } = await graph.invoke('Plan a trip')

const state = await session.readState('strands/multiAgent/plan')
console.log(`${status}, stored ${state?.revision} times`)
