/** Bearer tokens to principals. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Authenticate, PrincipalInput } from '@verbatim/api'
import type { Environment } from './env.ts'

type Tokens = Pick<Environment, 'VERBATIM_TOKENS' | 'VERBATIM_METRICS_TOKEN'>

/** What the API asks of those who read its metrics. */
const metricsScope = 'verbatim:metrics'

/** Without tokens everybody is the one local user: the server is on loopback then, see guard-local.ts. */
export function createAuthenticate({ VERBATIM_TOKENS: users, VERBATIM_METRICS_TOKEN: metrics }: Tokens): Authenticate {
  if (users === undefined) return () => ({ userId: 'local', scopes: [metricsScope] })
  const known = [...users].map(([token, userId]) => credential(token, { userId }))
  if (metrics !== undefined) known.push(credential(metrics, { userId: 'metrics', scopes: [metricsScope] }))
  return ({ headers }) => {
    const digest = digestOf(/^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1] ?? '')
    // Digests have one length, and each is compared: the time taken tells nothing about any token.
    const [match] = known.filter((candidate) => timingSafeEqual(candidate.digest, digest))
    return match?.principal
  }
}

function credential(token: string, principal: PrincipalInput) {
  return { digest: digestOf(token), principal }
}

function digestOf(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
