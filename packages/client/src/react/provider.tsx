import type { AgentMap, AnyAgents } from '@verbatim/core'
import { createContext, useContext } from 'react'
import type { ReactNode } from 'react'
import type { VerbatimClient } from '../create-client.ts'

const ClientContext = createContext<object | undefined>(undefined)

/** What {@link VerbatimProvider} takes. */
export interface VerbatimProviderProps<TAgents extends AgentMap = AnyAgents> {
  readonly client: VerbatimClient<TAgents>
  readonly children?: ReactNode
}

/** Gives `client` to the hooks below it. Make the client once, outside of components. */
export function VerbatimProvider<TAgents extends AgentMap>({
  client,
  children,
}: VerbatimProviderProps<TAgents>): ReactNode {
  return <ClientContext.Provider value={client}>{children}</ClientContext.Provider>
}

/** The client of the nearest `VerbatimProvider`. @throws Error when there is none */
export function useVerbatim<TAgents extends AgentMap = AnyAgents>(): VerbatimClient<TAgents> {
  const client = useContext(ClientContext)
  if (client === undefined) throw new Error('Put a VerbatimProvider above the components that use Verbatim')
  return client as VerbatimClient<TAgents> // the provider's; the type argument says which agents its server has
}
