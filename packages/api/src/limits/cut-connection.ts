/**
 * Ends a connection whose client breaks the rules. It stays open for a moment, unread: so the client receives what it was answered
 * (RFC 9112, section 9.6), and does not come back at once with a new connection.
 */
import type { Socket } from 'node:net'

const lingerMs = 1_000
/** One more is closed at once: a thousand would cost more memory than they save work. */
const maxLingering = 256

const lingering = new Set<Socket>()

/** Closes the connection, soon. Nothing more that it brings is handled. */
export function cutConnection(socket: Socket): void {
  if (isCut(socket)) return
  if (lingering.size >= maxLingering) return void socket.destroy()
  lingering.add(socket)
  socket.pause()
  const timer = setTimeout(() => socket.destroy(), lingerMs).unref()
  socket.once('close', () => {
    clearTimeout(timer)
    lingering.delete(socket)
  })
}

export function isCut(socket: Socket): boolean {
  return socket.destroyed || lingering.has(socket)
}
