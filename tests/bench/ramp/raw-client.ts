/**
 * HTTP/1.1 on a bare socket. A thousand clients share the machine's cores with the server: by `node:http` they take as much of them as the
 * server does, and the bench would measure its own clients.
 */
import { once } from 'node:events'
import { connect } from 'node:net'
import type { Socket } from 'node:net'

export interface RawAnswer {
  readonly status: number
  readonly body: string
}

/** A connection that is kept: one request after another, the last of them perhaps a stream. */
export class RawClient {
  readonly #socket: Socket
  readonly #user: string
  #onText: (text: string) => void = () => {}
  #onGone: (error: Error) => void = () => {}

  private constructor(socket: Socket, user: string) {
    this.#socket = socket
    this.#user = user
    socket.setEncoding('latin1').setNoDelay(true)
    socket.on('data', (text: string) => this.#onText(text))
    socket.on('error', (error) => this.#onGone(error))
    socket.on('close', () => this.#onGone(new Error('The server has closed the connection')))
  }

  /** Resolves when the connection stands. */
  static async open(port: number, user: string): Promise<RawClient> {
    const socket = connect(port, '127.0.0.1')
    await once(socket, 'connect')
    return new RawClient(socket, user)
  }

  async post(path: string, body: string): Promise<RawAnswer> {
    const head = `content-type: application/json\r\ncontent-length: ${Buffer.byteLength(body)}\r\n`
    const answer = this.#answer()
    this.#socket.write(`POST ${path} HTTP/1.1\r\n${this.#headers}${head}\r\n${body}`)
    return await answer
  }

  async get(path: string): Promise<RawAnswer> {
    const answer = this.#answer()
    this.#socket.write(`GET ${path} HTTP/1.1\r\n${this.#headers}\r\n`)
    return await answer
  }

  /** Reads a stream until `onText` answers true; then the connection is closed. */
  async stream(path: string, onText: (text: string) => boolean): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#onGone = reject
      this.#onText = (text) => {
        if (onText(text)) resolve()
      }
      this.#socket.write(`GET ${path} HTTP/1.1\r\n${this.#headers}\r\n`)
    })
    this.close()
  }

  close(): void {
    this.#onGone = () => {}
    this.#socket.destroy()
  }

  get #headers(): string {
    return `host: localhost\r\nx-user: ${this.#user}\r\n`
  }

  /** The next answer, which tells its length. */
  #answer(): Promise<RawAnswer> {
    let read = ''
    return new Promise((resolve, reject) => {
      this.#onGone = reject
      this.#onText = (text) => {
        read += text
        const headEnd = read.indexOf('\r\n\r\n')
        if (headEnd === -1) return
        const [, length = '0'] = /content-length: (\d+)/i.exec(read.slice(0, headEnd)) ?? []
        const body = read.slice(headEnd + 4)
        if (body.length >= Number(length)) resolve({ status: Number(read.slice(9, 12)), body })
      }
    })
  }
}
