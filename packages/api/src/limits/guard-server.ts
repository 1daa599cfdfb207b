/**
 * What a connection of HTTP/1 costs before a request of it is handled. Node parses all that one read brings, up to 64 KB, before anything
 * can stop it: seven hundred small requests, and an error with a stack for each when the connection is cut, 20 ms in all.
 */
import type { Server } from 'node:http'
import { Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { Server as TlsServer } from 'node:tls'
import { cutConnection, isCut } from './cut-connection.ts'
import { isAnswering, takesRequest } from './pipelined-requests.ts'
import { createReadTurns } from './read-turns.ts'
import type { ReadTurns } from './read-turns.ts'

/** Larger than most requests, so that these pass as they come. A body of 1 MB costs 0.5 ms more. */
const maxPieceBytes = 2 * 1024

/**
 * Makes `server` read connections in small pieces, and close those that send no HTTP a second later instead of at once. So a client
 * that sends garbage, or a thousand requests in a packet or on as many connections, does not hold up others.
 *
 * @example
 * guardServer(createServer(api.nodeHandler)).listen(8787)
 */
export function guardServer<TServer extends Server>(server: TServer): TServer {
  const turns = createReadTurns()
  const answered = new WeakSet<Duplex>()
  server.on(server instanceof TlsServer ? 'secureConnection' : 'connection', (socket: Socket) => {
    readInPieces(socket, { turns, isStranger: () => !answered.has(socket) })
  })
  server.on('request', ({ socket }, res) => res.once('finish', () => answered.add(socket)))
  // Before the handler, so that the answers of every handler are known.
  server.prependListener('request', takesRequest)
  server.on('clientError', refuse)
  return server
}

function readInPieces(socket: Socket, { turns, isStranger }: { turns: ReadTurns; isStranger: () => boolean }): void {
  // The HTTP server reads past the stream until a listener asks for its data, once.
  socket.on('data', ask).off('data', ask)
  const push = socket.push.bind(socket)
  const pushInPieces = (data: Uint8Array): boolean => {
    let takesMore = true
    for (let at = 0; at < data.length && !isCut(socket); at += maxPieceBytes) {
      takesMore = push(data.subarray(at, at + maxPieceBytes))
    }
    return takesMore
  }
  socket.push = (data: unknown, encoding) => {
    if (!(data instanceof Uint8Array)) return push(data, encoding)
    if (turns.hasTime()) return pushInPieces(data)
    const known = isStranger() ? 'stranger' : 'acquaintance'
    turns.postpone(() => void pushInPieces(data), isProbe(data) ? 'probe' : known)
    return false // the socket reads nothing more until the stream has received this
  }
}

function ask(): void {}

/** A request for a health endpoint, wherever the API is mounted. Longer data has more than that in it. */
function isProbe(data: Uint8Array): boolean {
  if (data.length > maxPieceBytes) return false
  const begin = Buffer.from(data.buffer, data.byteOffset, Math.min(data.length, 128)).toString('latin1')
  return /^(?:GET|HEAD) \S*\/health\/(?:live|ready)[ ?]/.test(begin)
}

/** The answers that Node itself gives, by the code of the error; any other is a 400. */
const answers = new Map([
  ['HPE_HEADER_OVERFLOW', '431 Request Header Fields Too Large'],
  ['HPE_CHUNK_EXTENSIONS_OVERFLOW', '413 Payload Too Large'],
  ['ERR_HTTP_REQUEST_TIMEOUT', '408 Request Timeout'],
])

function refuse(error: NodeJS.ErrnoException, socket: Duplex): void {
  if (!(socket instanceof Socket) || !socket.writable || error.code === 'ECONNRESET') return void socket.destroy()
  // A second head would end up in the body of the answer that is on its way.
  if (!isAnswering(socket))
    socket.write(`HTTP/1.1 ${answers.get(error.code ?? '') ?? '400 Bad Request'}\r\nconnection: close\r\n\r\n`)
  cutConnection(socket)
}
