import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import { guardServer, listen as listenForCrowds } from '@verbatim/api'
import { VerbatimError } from '@verbatim/core'

/** Limits for requests; a response may stream without a limit. */
const limits = {
  headersTimeout: 10_000,
  requestTimeout: 30_000,
  maxHeaderSize: 16 * 1024,
  keepAlive: true,
  keepAliveInitialDelay: 30_000,
  /** Proxies close an idle connection after a minute. They must close first, so this is longer. */
  keepAliveTimeout: 65_000,
  connectionsCheckingInterval: 5_000,
  /** Tokens are small; one must not wait for the next. */
  noDelay: true,
}

/** A listening server and its URL. */
export interface ListeningServer {
  readonly server: Server
  readonly url: string
}

/** @throws VerbatimError `INVALID_CONFIGURATION`: one sentence, when the address is taken or not usable */
export async function listen(
  handler: RequestListener,
  { host, port }: { host: string; port: number },
): Promise<ListeningServer> {
  const server = guardServer(createServer(limits, handler))
  try {
    await listenForCrowds(server, { host, port })
  } catch (cause) {
    throw new VerbatimError('INVALID_CONFIGURATION', sentenceOf(cause, { host, port }), { cause })
  }
  const address = server.address()
  const bound = typeof address === 'object' && address !== null ? address.port : port
  return { server, url: `http://${host.includes(':') ? `[${host}]` : host}:${bound}` }
}

function sentenceOf(error: unknown, { host, port }: { host: string; port: number }): string {
  const code = error instanceof Error && 'code' in error ? error.code : undefined
  switch (code) {
    case 'EADDRINUSE':
      return `PORT ${port} on ${host} is in use, perhaps by another Verbatim; stop that, or set PORT to another`
    case 'EACCES':
      return `PORT ${port} is not open to this user; set PORT to one over 1023`
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return `HOST ${host} is no address of this machine; correct it`
    default:
      return `PORT ${port} on ${host} cannot be used (${error instanceof Error ? error.message : String(error)})`
  }
}

/** Time for ending responses to reach their readers, in milliseconds. */
const closeGraceMs = 1_000

/** Takes no more connections and waits until the open responses end; after a second it cuts them. Can be called twice. */
export async function closeServer(server: Server): Promise<void> {
  if (!server.listening) return
  const cut = setTimeout(() => server.closeAllConnections(), closeGraceMs)
  await new Promise<void>((resolve) => server.close(() => resolve()))
  clearTimeout(cut)
}
