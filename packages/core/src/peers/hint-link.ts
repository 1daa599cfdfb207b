/** The connection to a process whose runs are followed here. It lives until it fails or is closed; then the runs are polled. */
import { connect } from 'node:tls'
import type { GrownEntry, RunKey } from '../ports/event-log.ts'
import { GiverFrame, maxGiverLine, parseFrame, requireBatch } from './frames.ts'
import type { FollowerFrame } from './frames.ts'
import { PeerSocket } from './peer-socket.ts'
import type { Peer } from './process-name.ts'
import { identityOf, tlsOptions } from './secure.ts'

export interface LinkListener {
  /** Hints at the run come from now on. */
  onFollowed(key: RunKey): void
  /** No hints at the run come any more. */
  onLeft(key: RunKey): void
  onGrowth(key: RunKey, entry?: GrownEntry): Promise<void> | void
}

export class HintLink {
  readonly #peer: PeerSocket
  readonly #listener: LinkListener
  /** The only runs that the peer may say a word of. */
  readonly #keys = new Set<RunKey>()
  /** Resolves when the connection is over, with the reason. */
  readonly closed: Promise<string>

  constructor({ id, host, port }: Peer, { key, listener }: { key: Buffer; listener: LinkListener }) {
    const socket = connect({
      ...tlsOptions,
      host,
      port,
      pskCallback: () => ({ psk: key, identity: identityOf(id) }),
      checkServerIdentity: () => undefined, // there is no certificate: the secret proves who it is
    })
    this.#peer = new PeerSocket(socket, maxGiverLine)
    this.#listener = listener
    this.closed = this.#read()
  }

  get isIdle(): boolean {
    return this.#keys.size === 0
  }

  follow(key: RunKey, after: number): void {
    this.#keys.add(key)
    this.#send({ type: 'follow', key, after })
  }

  unfollow(key: RunKey): void {
    if (this.#keys.delete(key)) this.#send({ type: 'unfollow', key })
  }

  close(): void {
    this.#peer.close()
  }

  /** Never rejects. */
  async #read(): Promise<string> {
    try {
      for await (const line of this.#peer.lines()) await this.#take(parseFrame(GiverFrame, line), line.length)
      return 'closed'
    } catch (error) {
      return error instanceof Error ? error.message : 'unknown'
    } finally {
      this.#peer.close()
    }
  }

  async #take(frame: GiverFrame, length: number): Promise<void> {
    if (!this.#keys.has(frame.key)) return // of a run that was followed a moment ago
    switch (frame.type) {
      case 'followed':
        return this.#listener.onFollowed(frame.key)
      case 'left':
        this.#keys.delete(frame.key)
        return this.#listener.onLeft(frame.key)
      case 'grown':
        return await this.#listener.onGrowth(frame.key, frame.entry && grownEntryOf(frame.entry, length))
    }
  }

  #send(frame: FollowerFrame): void {
    this.#peer.send(JSON.stringify(frame))
  }
}

type SentEntry = NonNullable<Extract<GiverFrame, { type: 'grown' }>['entry']>

function grownEntryOf(entry: SentEntry, bytes: number): GrownEntry {
  return { firstSeq: entry.firstSeq, bytes, open: () => Promise.resolve().then(() => requireBatch(entry)) }
}
