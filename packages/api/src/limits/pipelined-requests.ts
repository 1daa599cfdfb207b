/**
 * HTTP/1 lets a client send requests before it has the answers to those before (RFC 9112, section 9.3.2), and Node handles all that
 * one packet holds in one turn of the event loop. No browser does so, and no client that we know; a thousand in a packet hold everyone up.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { cutConnection, isCut } from './cut-connection.ts'

/** Far more than any client has under way on one connection. */
const maxUnanswered = 16

/** The answers that each connection waits for, the first one first. */
const unanswered = new WeakMap<Socket, Set<ServerResponse>>()

/** Takes a request in, once; false, and the connection ends, when too many before it have no answer yet. */
export function takesRequest({ httpVersionMajor, socket }: IncomingMessage, res: ServerResponse): boolean {
  if (httpVersionMajor !== 1) return true // streams of HTTP/2 have a limit of their own
  const waiting = unanswered.get(socket) ?? new Set()
  if (waiting.has(res)) return true
  if (isCut(socket)) return false
  if (waiting.size >= maxUnanswered) {
    cutConnection(socket)
    return false
  }
  unanswered.set(socket, waiting.add(res))
  res.once('close', () => waiting.delete(res))
  return true
}

/** Tells whether the head of an answer has left, and its end has not. */
export function isAnswering(socket: Socket): boolean {
  const [first] = unanswered.get(socket) ?? []
  return first?.headersSent === true
}
