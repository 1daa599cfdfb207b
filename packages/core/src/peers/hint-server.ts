/**
 * Gives hints to processes that follow runs of this one. In: the tails of those runs, which hold only what is committed (P1).
 * Out: their batches, as each peer reads: one that is slow falls out of the tail's memory, and then receives the hint alone.
 */
import type { AddressInfo, Socket } from 'node:net'
import { createServer } from 'node:tls'
import type { Server, TLSSocket } from 'node:tls'
import type { EventBatch } from '../contract/event.ts'
import type { RunKey } from '../ports/event-log.ts'
import type { HintedProcess, LogTail } from '../ports/run-hints.ts'
import { FollowerFrame, maxEntryLength, maxFollowerLine, maxRunsPerPeer, parseFrame } from './frames.ts'
import type { GiverFrame } from './frames.ts'
import { PeerSocket } from './peer-socket.ts'
import { identityOf, tlsOptions } from './secure.ts'

/** More than a fleet has processes: further ones poll. */
const maxPeers = 1_024
const handshakeMs = 5_000
/** Between two log lines about refused connections, in milliseconds. */
const complaintMs = 60_000

export class HintServer {
  readonly #server: Server
  /** Also those that have not proved anything yet. */
  readonly #sockets = new Set<Socket>()
  #process: HintedProcess | undefined
  #complainedAtMs = Number.NEGATIVE_INFINITY

  /** @param options.id of this process: a peer that asks for another one is refused */
  constructor({ id, key }: { id: string; key: Buffer }) {
    const identity = identityOf(id)
    const pskCallback = (_socket: TLSSocket, asked: string) => (asked === identity ? key : null)
    const options = { ...tlsOptions, handshakeTimeout: handshakeMs, pskCallback }
    this.#server = createServer(options, (socket) => void this.#serve(socket))
    this.#server.maxConnections = maxPeers
    this.#server.on('connection', (socket: Socket) => {
      this.#sockets.add(socket)
      socket.once('close', () => this.#sockets.delete(socket))
    })
    this.#server.on('tlsClientError', (error: NodeJS.ErrnoException) => this.#complain(error.code))
  }

  /** Answers the port. @throws the error of the operating system when the address cannot be used */
  async listen(address: { host: string; port: number }): Promise<number> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once('error', reject).listen(address, () => {
        this.#server.off('error', reject).on('error', () => {}) // a connection that could not be accepted: its peer polls
        resolve()
      })
    })
    const { port } = this.#server.address() as AddressInfo // a TCP server has one
    return port
  }

  open(process: HintedProcess): void {
    this.#process = process
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy()
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve))
  }

  async #serve(socket: TLSSocket): Promise<void> {
    const peer = new PeerSocket(socket, maxFollowerLine)
    const process = this.#process
    if (process === undefined || process.stopping.aborted) return peer.close()
    const followed = new FollowedByPeer(peer, process)
    try {
      for await (const line of peer.lines()) followed.take(parseFrame(FollowerFrame, line))
    } catch (error) {
      // A connection that breaks has a code; a peer that says nonsense has none.
      if (error instanceof Error && !('code' in error)) this.#complain(error.message)
    } finally {
      peer.close()
      followed.leaveAll()
    }
  }

  /** Never names a run. */
  #complain(reason = 'unknown'): void {
    if (this.#process === undefined || performance.now() < this.#complainedAtMs + complaintMs) return
    this.#complainedAtMs = performance.now()
    this.#process.logger.warn({ reason }, 'A connection that asked for hints was refused or broken')
  }
}

/** What one peer follows. */
class FollowedByPeer {
  readonly #peer: PeerSocket
  readonly #process: HintedProcess
  readonly #runs = new Map<RunKey, AbortController>()

  constructor(peer: PeerSocket, process: HintedProcess) {
    this.#peer = peer
    this.#process = process
  }

  take(frame: FollowerFrame): void {
    this.#leave(frame.key)
    if (frame.type === 'unfollow') return
    const tail = this.#process.tailOf(frame.key)
    if (tail?.isLocal !== true || this.#runs.size >= maxRunsPerPeer) return this.#send({ type: 'left', key: frame.key })
    const stop = new AbortController()
    this.#runs.set(frame.key, stop)
    this.#send({ type: 'followed', key: frame.key })
    void this.#give(tail, frame.after, stop.signal).catch(() => {}) // the peer is gone, or follows the run no more
  }

  leaveAll(): void {
    for (const key of this.#runs.keys()) this.#leave(key)
  }

  #leave(key: RunKey): void {
    this.#runs.get(key)?.abort()
    this.#runs.delete(key)
  }

  async #give(tail: LogTail, after: number, signal: AbortSignal): Promise<void> {
    let seq = after
    while (true) {
      await this.#peer.room()
      signal.throwIfAborted()
      const batches = tail.after(seq)
      const hasGrown = seq < tail.lastSeq
      if (batches === undefined && hasGrown) this.#send({ type: 'grown', key: tail.key })
      for (const batch of batches ?? []) this.#peer.send(grownFrame(tail.key, batch))
      seq = Math.max(seq, tail.lastSeq)
      if (hasGrown) continue
      if (!tail.isLocal) break
      await tail.wait(signal)
    }
    this.#runs.delete(tail.key)
    this.#send({ type: 'left', key: tail.key })
  }

  #send(frame: GiverFrame): void {
    this.#peer.send(JSON.stringify(frame))
  }
}

/** A `grown` frame. A long entry travels without its events; others are encoded once. */
function grownFrame(key: RunKey, { firstSeq, events }: EventBatch): string {
  const text = JSON.stringify(events)
  const frame = { type: 'grown', key } satisfies GiverFrame
  if (text.length > maxEntryLength) return JSON.stringify(frame)
  return `${JSON.stringify(frame).slice(0, -1)},"entry":{"firstSeq":${firstSeq},"events":${text}}}`
}
