import { once } from 'node:events'
import { connect, createServer } from 'node:net'

/** A free port of 127.0.0.1: `preferred` if that is free, else one that the system picks. */
export async function freePort(preferred?: number): Promise<number> {
  if (preferred !== undefined && (await canListen(preferred)) !== undefined) return preferred
  const port = await canListen(0)
  if (port === undefined) throw new Error('No port of 127.0.0.1 is free')
  return port
}

/** True when a server accepts connections on this port of 127.0.0.1. */
export async function isListening(port: number): Promise<boolean> {
  const socket = connect({ host: '127.0.0.1', port })
  try {
    await once(socket, 'connect')
    return true
  } catch {
    // Refused: no process listens.
    return false
  } finally {
    socket.destroy()
  }
}

async function canListen(port: number): Promise<number | undefined> {
  const server = createServer()
  try {
    server.listen(port, '127.0.0.1')
    await once(server, 'listening')
    const address = server.address()
    return typeof address === 'object' && address !== null ? address.port : undefined
  } catch {
    return undefined // taken
  } finally {
    server.close()
  }
}
