/** One end of a connection between two processes. Each end sends a sign of life every second, and drops a peer that is silent or does not read. */
import type { Socket } from 'node:net'

const beatMs = 1_000
const maxSilentBeats = 5

/** Bytes that may wait for a slow peer before the sender takes no more frames. */
const maxBufferedBytes = 1024 * 1024

export class PeerSocket {
  readonly #socket: Socket
  readonly #maxLine: number
  readonly #beats: NodeJS.Timeout
  #queue: string[] = []
  #queuedLength = 0
  #silentBeats = 0
  #stalledBeats = 0

  /** @param maxLine the longest line that the peer may send, in UTF-16 units */
  constructor(socket: Socket, maxLine: number) {
    this.#socket = socket.setEncoding('utf8').setNoDelay(true)
    this.#maxLine = maxLine
    this.#beats = setInterval(() => this.#beat(), beatMs)
    socket.on('error', () => {}) // `lines` throws it
    socket.once('close', () => clearInterval(this.#beats))
  }

  get isClosed(): boolean {
    return this.#socket.destroyed
  }

  /** Sends a frame as JSON, with all others of the same turn of the event loop. */
  send(frame: string): void {
    if (this.isClosed) return
    if (this.#queue.length === 0) setImmediate(() => this.#flush())
    this.#queue.push(frame, '\n')
    this.#queuedLength += frame.length + 1
  }

  /** Resolves when the peer has read enough for more frames, or is gone. */
  async room(): Promise<void> {
    while (!this.isClosed && this.#isFull) {
      if (this.#queuedLength > 0) await new Promise(setImmediate)
      else
        await new Promise<void>((resolve) => {
          const settle = () => {
            this.#socket.off('drain', settle).off('close', settle)
            resolve()
          }
          this.#socket.on('drain', settle).on('close', settle)
        })
    }
  }

  /** The lines of the peer, without its signs of life, until it closes. @throws an error when the connection fails or a line is too long */
  async *lines(): AsyncGenerator<string, void, void> {
    let rest = ''
    for await (const chunk of this.#socket as AsyncIterable<string>) {
      this.#silentBeats = 0
      const lines = (rest + chunk).split('\n')
      rest = lines.pop() ?? ''
      if (Math.max(rest.length, ...lines.map((line) => line.length)) > this.#maxLine) {
        throw new Error('The peer sends a line that is too long')
      }
      yield* lines.filter((line) => line !== '')
    }
  }

  close(): void {
    this.#socket.destroy()
  }

  get #isFull(): boolean {
    return this.#socket.writableLength + this.#queuedLength > maxBufferedBytes
  }

  #flush(): void {
    const text = this.#queue.join('')
    this.#queue = []
    this.#queuedLength = 0
    if (!this.isClosed) this.#socket.write(text)
  }

  #beat(): void {
    this.#stalledBeats = this.#isFull ? this.#stalledBeats + 1 : 0
    if (++this.#silentBeats > maxSilentBeats || this.#stalledBeats > maxSilentBeats) return this.close()
    if (!this.#isFull) this.#socket.write('\n')
  }
}
