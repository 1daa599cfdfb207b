/** Bearer tokens to principals. */
import { createHash, timingSafeEqual } from 'node:crypto'
import type { Authenticate, PrincipalInput } from '@verbatim/api'
import type { Environment } from './env.ts'

type Tokens = Pick<Environment, 'VERBATIM_TOKENS' | 'VERBATIM_METRICS_TOKEN'>

/** The scope that the API requires for metrics. */
const metricsScope = 'verbatim:metrics'

/** Without tokens every caller is the local user; the server then listens on loopback only, see guard-local.ts. */
export function createAuthenticate({ VERBATIM_TOKENS: users, VERBATIM_METRICS_TOKEN: metrics }: Tokens): Authenticate {
  if (users === undefined) return () => ({ userId: 'local', scopes: [metricsScope] })
  const known = [...users].map(([token, userId]) => credential(token, { userId }))
  if (metrics !== undefined) known.push(credential(metrics, { userId: 'metrics', scopes: [metricsScope] }))
  return ({ headers }) => {
    const digest = digestOf(/^Bearer +(\S+) *$/i.exec(headers.get('authorization') ?? '')?.[1] ?? '')
    // Digests have one length and each is compared, so the time reveals nothing about a token.
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
