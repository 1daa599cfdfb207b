import type { AgentMap, AnyOutput } from '@verbatim/core'
import type { ReactNode } from 'react'
import type { VerbatimClient } from '../create-client.ts'
import { useVerbatim, VerbatimProvider } from './provider.tsx'
import type { VerbatimProviderProps } from './provider.tsx'
import { useChat } from './use-chat.ts'
import type { UseChatOptions, UseChatResult } from './use-chat.ts'
import { useRun } from './use-run.ts'
import type { UseRunResult } from './use-run.ts'
import { useSessions } from './use-sessions.ts'
import type { UseSessionsResult } from './use-sessions.ts'

/** The hooks for the agents of one server. */
export interface Hooks<TAgents extends AgentMap> {
  readonly VerbatimProvider: (props: VerbatimProviderProps<TAgents>) => ReactNode
  readonly useVerbatim: () => VerbatimClient<TAgents>
  readonly useChat: (sessionId: string, options?: UseChatOptions) => UseChatResult<TAgents>
  readonly useRun: (runId: string) => UseRunResult<AnyOutput<TAgents>>
  readonly useSessions: () => UseSessionsResult
}

/**
 * The hooks with the types of a server's agents: ids, inputs and outputs are checked wherever they are used.
 *
 * @example
 * import type { agents } from '../server/agents.ts'
 * export const { VerbatimProvider, useChat } = createHooks<AgentsOf<typeof agents>>()
 */
export function createHooks<TAgents extends AgentMap>(): Hooks<TAgents> {
  return { VerbatimProvider, useVerbatim, useChat, useRun, useSessions }
}
