/**
 * HTTP/1 lets a client send requests before it has the answers to those before (RFC 9112, section 9.3.2), and Node handles all that
 * one packet holds in one turn of the event loop. No browser does so, and no client that we know; a thousand in a packet hold everyone up.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'

/** Far more than any client has under way on one connection. */
const maxUnanswered = 16

const unanswered = new WeakMap<Socket, number>()

/** Takes a request in; false, with the connection cut, when too many before it have no answer yet. */
export function takesRequest(req: IncomingMessage, res: ServerResponse): boolean {
  if (req.httpVersionMajor !== 1) return true // streams of HTTP/2 have a limit of their own
  const { socket } = req
  const count = (unanswered.get(socket) ?? 0) + 1
  if (count > maxUnanswered) {
    socket.destroy()
    return false
  }
  unanswered.set(socket, count)
  res.once('close', () => unanswered.set(socket, (unanswered.get(socket) ?? 1) - 1))
  return true
}
