/**
 * Where a mongod listens: a Unix socket in a folder of this user, which no other user of the machine can open, or a port of 127.0.0.1,
 * which every user can connect to. A server of this package has no passwords, so the socket is the rule.
 */
import { once } from 'node:events'
import { mkdtemp } from 'node:fs/promises'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

/** `127.0.0.1:<port>`, or the absolute path of a socket: the name of the server in its replica set, too. */
export type ServerAddress = string

export function isSocket(address: ServerAddress): boolean {
  return address.endsWith('.sock')
}

export function portOf(address: ServerAddress): number | undefined {
  return isSocket(address) ? undefined : Number(address.slice(address.lastIndexOf(':') + 1))
}

/** For one server: its address is the path, and the path may hold characters that URIs do not. */
export function uriOf(address: ServerAddress): string {
  return `mongodb://${isSocket(address) ? encodeURIComponent(address) : address}/?directConnection=true`
}

/** Systems keep a socket's path in 104 bytes or more. */
const maxSocketPathBytes = 100

/** mongod takes a comma for the end of an address. */
const usablePath = /^[^,:]+$/

/**
 * A new socket in `folder`, or in a new private folder when the path would be too long. Each start has its own: mongod removes a
 * socket that it finds in its place, and it may be another server's.
 */
export async function newSocket(folder: string): Promise<ServerAddress> {
  const name = `${crypto.randomUUID().slice(0, 8)}.sock`
  const path = join(folder, name)
  if (Buffer.byteLength(path) <= maxSocketPathBytes && usablePath.test(path)) return path
  return join(await mkdtemp(join(tmpdir(), 'verbatim-')), name)
}

/** `port` of 127.0.0.1, or any free one for 0. */
export async function tcpAddress(port: number): Promise<ServerAddress> {
  return `127.0.0.1:${port === 0 ? await freePort() : port}`
}

/** A free port of 127.0.0.1, as the system picks it. */
export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1')
  await once(server, 'listening')
  const address = server.address()
  server.close()
  if (typeof address !== 'object' || address === null) throw new Error('No port of 127.0.0.1 is free')
  return address.port
}

/** True when a server accepts connections at this address. */
export async function isListening(address: ServerAddress): Promise<boolean> {
  const port = portOf(address)
  const socket = port === undefined ? connect({ path: address }) : connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    return false // refused, or no such socket: no process listens
  } finally {
    socket.destroy()
  }
}
