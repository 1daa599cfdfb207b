import type { AgentMap, AnyOutput } from '@verbatim/core'
import type { ReactNode } from 'react'
import type { VerbatimClient } from '../create-client.ts'
import { useVerbatim, VerbatimProvider } from './provider.tsx'
import type { VerbatimProviderProps } from './provider.tsx'
import { useChat } from './use-chat.ts'
import type { UseChatResult } from './use-chat.ts'
import { useRun } from './use-run.ts'
import type { UseRunResult } from './use-run.ts'

/** The hooks for the agents of one server. */
export interface Hooks<TAgents extends AgentMap> {
  readonly VerbatimProvider: (props: VerbatimProviderProps<TAgents>) => ReactNode
  readonly useVerbatim: () => VerbatimClient<TAgents>
  readonly useChat: (sessionId: string) => UseChatResult<TAgents>
  readonly useRun: (runId: string) => UseRunResult<AnyOutput<TAgents>>
}

/**
 * The hooks with the types of a server's agents: ids, inputs and outputs are checked wherever they are used.
 *
 * @example
 * import type { agents } from '../server/agents.ts'
 * export const { VerbatimProvider, useChat } = createHooks<AgentsOf<typeof agents>>()
 */
export function createHooks<TAgents extends AgentMap>(): Hooks<TAgents> {
  return { VerbatimProvider, useVerbatim, useChat, useRun }
}
