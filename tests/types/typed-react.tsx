/** React components of a team that know the agents of its server, see typed-client.ts. */
import { createClient } from '@verbatim/client'
import type { AgentsOf } from '@verbatim/client'
import { createHooks, useChat as useAnyChat } from '@verbatim/client/react'
import type { agents } from './agents.ts'

type Agents = AgentsOf<typeof agents>

const { VerbatimProvider, useChat, useVerbatim, useRun } = createHooks<Agents>()
const verbatim = createClient<Agents>({ url: '' })

function Chat() {
  const { messages, send } = useChat('session-1')
  return (
    <ul onClick={() => void send('The prices?', { agentId: 'report' })}>
      {messages.map((message) => (
        <li key={message.key}>
          {message.agentId === 'echo' &&
            message.data.map((part) => (part.name === 'progress' ? part.data.done : part.data))}
          {message.agentId === 'report' ? (message.partialOutput?.title ?? message.output?.title) : message.status}
        </li>
      ))}
    </ul>
  )
}

export function Mistakes() {
  const { messages, send } = useChat('session-1')
  // @ts-expect-error -- the server has no agent of this id
  void send('Hi', { agentId: 'reprot' })
  // @ts-expect-error -- the ledger needs to know since when
  void send('The books?', { agentId: 'ledger' })
  // @ts-expect-error -- no agent answers such a field
  const titles = messages.map((message) => message.output?.headline)
  // @ts-expect-error -- the server has no agent of this id
  useVerbatim().chat('session-1').send('Hi', { agentId: 'reprot' })
  const { output } = useRun('run-1')
  // @ts-expect-error -- a report has no such field
  return <p title={output?.headline}>{titles}</p>
}

export function Untyped() {
  const { messages, send } = useAnyChat('session-1')
  void send('Hi', { agentId: 'whatever' })
  return <p>{JSON.stringify(messages[0]?.output)}</p>
}

export function App() {
  return (
    <VerbatimProvider client={verbatim}>
      <Chat />
    </VerbatimProvider>
  )
}
