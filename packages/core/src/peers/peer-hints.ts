/**
 * Hints for a large fleet: each process listens for the others, and its leases name its address. In: a secret that all processes of the
 * fleet share. Out: the port of the engine. Change streams cost each process every write of the fleet; this costs what is followed.
 */
import { networkInterfaces } from 'node:os'
import { z } from 'zod'
import { describeIssue } from '../contract/describe-issue.ts'
import { VerbatimError } from '../contract/errors.ts'
import type { PeerHints } from '../ports/run-hints.ts'
import { HintServer } from './hint-server.ts'
import { HintsOfPeers } from './hints-of-peers.ts'
import { joinAddress, PeerAddress, processIdOf, splitAddress } from './process-name.ts'
import { keyOf } from './secure.ts'

const minSecretLength = 32

/** How the processes of a fleet reach each other. */
export const PeerHintsOptions = z.strictObject({
  /** The same in every process of the fleet, and nowhere else: who has it may read runs whose keys it knows. Random, as of `openssl rand -base64 32`. */
  secret: z.string().min(minSecretLength, `must have at least ${minSecretLength} characters`),
  /** `host:port` that other processes connect to. @default where this process listens */
  address: PeerAddress.optional(),
  /** `host:port` to listen at; port 0 takes any free one. @default `address`; without that any free port of the machine's first IPv4 address */
  listen: PeerAddress.optional(),
})
export type PeerHintsOptions = z.input<typeof PeerHintsOptions>

/**
 * Listens for the other processes of the fleet. Give the result to `SessionManagerFactory.connect`, or to `createEngine`: the engine
 * closes it. Without an engine, close it yourself.
 *
 * @example
 * const peerHints = await listenForPeers({ secret, address: '10.0.0.4:8788' })
 * await using factory = await SessionManagerFactory.connect({ uri, agents, peerHints })
 *
 * @throws VerbatimError `INVALID_CONFIGURATION` naming the option; also when the address cannot be listened at
 */
export async function listenForPeers(options: PeerHintsOptions): Promise<PeerHints> {
  const parsed = PeerHintsOptions.safeParse(options)
  if (!parsed.success) {
    const { field, reason } = describeIssue(parsed.error.issues[0]) // the value may be the secret
    throw new VerbatimError('INVALID_CONFIGURATION', `peerHints.${field}: ${reason}`)
  }
  const { secret, address, listen = address } = parsed.data
  const place = listen === undefined ? { host: firstAddress(), port: 0 } : splitAddress(listen)
  const id = crypto.randomUUID()
  const key = keyOf(secret)
  const server = new HintServer({ id, key })
  const port = await server.listen(place).catch((error: NodeJS.ErrnoException) => {
    throw new VerbatimError('INVALID_CONFIGURATION', `peerHints.listen: ${joinAddress(place)}: ${error.code}`, {
      cause: error,
    })
  })
  const processId = processIdOf(id, address ?? joinAddress({ ...place, port }))
  const close = () => server.close()
  return {
    processId,
    open(process) {
      server.open(process)
      const hints = new HintsOfPeers({ process, processId, key })
      return {
        want: (tail) => hints.want(tail),
        covers: (tail) => hints.covers(tail),
        closed: async () => void (await Promise.all([hints.closed(), close()])),
      }
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** Of the network that other machines see, or of this machine alone. */
function firstAddress(): string {
  const all = Object.values(networkInterfaces()).flat()
  return all.find((one) => one?.family === 'IPv4' && !one.internal)?.address ?? '127.0.0.1'
}
