/**
 * Takes a crowd's connections as they come. Node takes one connection off a listening socket in a turn of the event loop (libuv since 1.45). Where a
 * turn takes 40 ms that is 25 a second, and a health probe waits with the others: of 200 connections the last was taken after 9 s, and with
 * these sockets after 1 s. In: a server and its address. Out: the server listens there, with several sockets where the system has them.
 */
import { once } from 'node:events'
import type { Server } from 'node:http'
import { createServer as createTcpServer } from 'node:net'
import type { ListenOptions, Server as TcpServer } from 'node:net'
import { Server as TlsServer } from 'node:tls'

/** Connections that are taken in a turn: a thousand in a second where a turn takes 16 ms. */
const sockets = 16

/** Connections that wait to be taken. Past Node's 511 a crowd's connections are dropped, and each tries again after a second. */
const defaultBacklog = 4_096

/**
 * Listens as `server.listen` does, and takes up to 16 new connections in each turn of the event loop instead of one. Where the system does not
 * share a port among sockets (all but Linux, Node before 23.1), it is `server.listen`. `server.close` closes all of them.
 *
 * @throws what `server.listen` emits as its error, such as `EADDRINUSE`
 * @example
 * await listen(guardServer(createServer(api.nodeHandler)), { port: 8787 })
 */
export async function listen(server: Server, { backlog = defaultBacklog, ...options }: ListenOptions): Promise<void> {
  const given = { ...options, backlog }
  if (process.platform !== 'linux' || options.port === undefined) return await begin(server, given)
  // Sockets that share a port do not notice that another process of the same user shares it too; one that does not share it would.
  if (options.port > 0) await requireFree(given)
  await begin(server, { ...given, reusePort: true })
  const address = server.address()
  if (address !== null && typeof address === 'object') await listenBeside(server, { ...given, port: address.port })
}

async function begin(server: TcpServer, options: ListenOptions): Promise<void> {
  server.listen(options)
  await once(server, 'listening')
}

async function requireFree(options: ListenOptions): Promise<void> {
  const probe = createTcpServer()
  await begin(probe, options)
  await new Promise((resolve) => probe.close(resolve))
}

async function listenBeside(server: Server, options: ListenOptions): Promise<void> {
  const beside: TcpServer[] = []
  const close = server.close.bind(server)
  server.close = (callback) => {
    // The callback comes when the connections of all sockets are gone.
    const closing = [close, ...beside.splice(0).map((one) => one.close.bind(one))]
    let open = closing.length
    let failure: Error | undefined
    for (const closeOne of closing)
      closeOne((error) => {
        failure ??= error
        if (--open === 0) callback?.(failure)
      })
    return server
  }
  // As an HTTP server takes its own connections; TLS begins on a plain one.
  const settings = { allowHalfOpen: !(server instanceof TlsServer), noDelay: true }
  try {
    while (beside.length < sockets - 1 && server.listening) {
      const one = createTcpServer(settings, (socket) => void server.emit('connection', socket))
      await begin(one, { ...options, reusePort: true })
      beside.push(one.unref())
    }
  } catch {
    // A system that does not share the port: the server listens by its own socket.
  }
  if (!server.listening) for (const one of beside.splice(0)) one.close()
}
