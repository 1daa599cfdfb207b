import { createContext, useContext } from 'react'
import type { ReactNode } from 'react'
import type { VerbatimClient } from '../create-client.ts'

const ClientContext = createContext<VerbatimClient | undefined>(undefined)

/** Gives `client` to the hooks below it. Make the client once, outside of components. */
export function VerbatimProvider({ client, children }: { client: VerbatimClient; children?: ReactNode }): ReactNode {
  return <ClientContext.Provider value={client}>{children}</ClientContext.Provider>
}

/** The client of the nearest `VerbatimProvider`. @throws Error when there is none */
export function useVerbatim(): VerbatimClient {
  const client = useContext(ClientContext)
  if (client === undefined) throw new Error('Put a VerbatimProvider above the components that use Verbatim')
  return client
}
