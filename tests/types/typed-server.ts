/** A team's server that calls its own router in process, with the types of its agents, see typed-client.ts. */
import { createAppRouter } from '@verbatim/api'
import type { AgentsOf } from '@verbatim/core'
import { createClient } from '@verbatim/client'
import { SessionManagerFactory } from '@verbatim/core/server'
import { agents } from './agents.ts'

type Agents = AgentsOf<typeof agents>

declare function show(...values: unknown[]): void

interface TeamContext {
  readonly user: string
}

export async function serve(): Promise<string | undefined> {
  await using factory = await SessionManagerFactory.connect({ uri: 'mongodb://localhost:27017', agents })
  const router = createAppRouter<TeamContext, Agents>({
    engine: factory.engine,
    principalOf: ({ user }) => ({ userId: user }),
  })
  const caller = router.createCaller({ user: 'ada' })
  const run = await caller.runs.start({ sessionId: 's', runId: crypto.randomUUID(), message: 'Hi', agentId: 'report' })
  await caller.runs.start({ sessionId: 's', runId: crypto.randomUUID(), message: 'Hi' })
  // @ts-expect-error -- the server has no agent of this id
  await caller.runs.start({ sessionId: 's', runId: crypto.randomUUID(), message: 'Hi', agentId: 'reprot' })
  const start = { sessionId: 's', runId: crypto.randomUUID(), message: 'The books?' }
  await caller.runs.start({ ...start, agentId: 'ledger', input: { since: '2026-05-01' } })
  // @ts-expect-error -- the ledger needs to know since when
  await caller.runs.start({ ...start, agentId: 'ledger' })
  // @ts-expect-error -- the first agent takes no input
  await caller.runs.start({ ...start, input: { since: '2026-05-01' } })
  // @ts-expect-error -- a start names a run
  await caller.runs.start({ sessionId: 's', message: 'Hi', agentId: 'report' })
  const message = await caller.messages.get({ sessionId: 's', messageId: run.messageId })
  const { items } = await caller.messages.list({ sessionId: 's' })
  // @ts-expect-error -- no agent answers such a field
  show(items[0]?.output?.headline)
  await caller.sessions.get({ sessionId: 's' })
  return message.agentId === 'report' ? message.output?.title : undefined
}

/** A client of the same server, for the calls between two services. */
export const verbatim = createClient<Agents>({ url: 'http://127.0.0.1:8787' })
