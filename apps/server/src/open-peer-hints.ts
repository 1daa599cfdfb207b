/** Hints between the servers of a large fleet. In: the fleet's secret. Out: what the engine takes; nothing without a secret. */
import type { PeerHints } from '@verbatim/core/server'
import type { Environment } from './env.ts'

/** The caller closes it, or gives it to an engine. @throws VerbatimError `INVALID_CONFIGURATION` when the address cannot be used */
export async function openPeerHints(env: Environment): Promise<PeerHints | undefined> {
  const { VERBATIM_PEER_SECRET: secret, VERBATIM_PEER_ADDRESS: address, VERBATIM_PEER_LISTEN: listen } = env
  if (secret === undefined) return undefined
  // Loaded when it is asked for.
  const { listenForPeers } = await import('@verbatim/core/peer-hints')
  return await listenForPeers({ secret, address, listen })
}
