import { createClient } from '@verbatim/client'
import type { AgentsOf } from '@verbatim/client'
import { createHooks } from '@verbatim/client/react'
import type { agents } from './typed.ts'

type Agents = AgentsOf<typeof agents>
export const verbatim = createClient<Agents>({ url: '' })
export const { VerbatimProvider, useChat } = createHooks<Agents>()

export function Owed() {
  const { messages, send } = useChat('session-2')
  const answer = messages.at(-1)
  return (
    <button onClick={() => void send('What do we owe?', { agentId: 'books', input: { year: 2026 } })}>
      {answer?.agentId === 'books' ? (answer.output?.owed ?? '…') : 'Ask'}
    </button>
  )
}
