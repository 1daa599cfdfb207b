/** A TCP proxy that can cut and delay its connections, and be a black hole. */
import { connect, createServer } from 'node:net'
import type { Server, Socket } from 'node:net'
import { Transform } from 'node:stream'

interface Pair {
  readonly near: Socket
  readonly far: Socket
  isHeld: boolean
}

export class TcpProxy implements AsyncDisposable {
  readonly port: number
  readonly #server: Server
  readonly #targets: () => readonly number[]
  readonly #pairs = new Set<Pair>()
  #delayMs = 0
  #isBlackhole = false

  private constructor(server: Server, targets: () => readonly number[]) {
    this.#server = server
    this.#targets = targets
    const address = server.address()
    this.port = typeof address === 'object' && address !== null ? address.port : 0
    server.on('connection', (near) => void this.#accept(near))
  }

  /** @param targets ports of 127.0.0.1; each connection goes to the first one that accepts */
  static async start(targets: () => readonly number[]): Promise<TcpProxy> {
    const server = createServer({ noDelay: true, pauseOnConnect: true })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    return new TcpProxy(server, targets)
  }

  /** For HTTP over it. */
  get url(): string {
    return `http://127.0.0.1:${this.port}`
  }

  /** Resets every open connection. */
  cut(): void {
    for (const pair of this.#pairs) destroy(pair)
  }

  /** Delays each chunk, in both directions. */
  delay(ms: number): void {
    this.#delayMs = ms
  }

  /** Lets nothing through and closes nothing; when it turns off, it resets the connections that it held. */
  blackhole(isOn: boolean): void {
    this.#isBlackhole = isOn
    for (const pair of this.#pairs) {
      if (isOn) pair.isHeld = true
      else if (pair.isHeld) destroy(pair)
    }
  }

  heal(): void {
    this.delay(0)
    this.blackhole(false)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.cut()
    await new Promise((resolve) => this.#server.close(resolve))
  }

  async #accept(near: Socket): Promise<void> {
    near.on('error', () => near.destroy())
    const far = await this.#connect()
    if (far === undefined || near.destroyed) {
      far?.destroy()
      near.resetAndDestroy()
      return
    }
    const pair: Pair = { near, far, isHeld: this.#isBlackhole }
    this.#pairs.add(pair)
    for (const socket of [near, far]) {
      socket.on('error', () => destroy(pair))
      socket.on('close', () => {
        this.#pairs.delete(pair)
        destroy(pair)
      })
    }
    near.pipe(this.#channel(pair)).pipe(far)
    far.pipe(this.#channel(pair)).pipe(near)
  }

  #channel(pair: Pair): Transform {
    return new Transform({
      transform: (chunk, _encoding, done) => {
        if (pair.isHeld) return // without a call of `done`, backpressure holds the sender until the pair is destroyed
        if (this.#delayMs === 0) done(null, chunk)
        else setTimeout(() => (pair.isHeld ? undefined : done(null, chunk)), this.#delayMs)
      },
    })
  }

  async #connect(): Promise<Socket | undefined> {
    for (const port of this.#targets()) {
      const socket = connect({ host: '127.0.0.1', port, noDelay: true })
      const isOpen = await new Promise<boolean>((resolve) => {
        socket.once('connect', () => resolve(true))
        socket.once('error', () => resolve(false))
      })
      if (isOpen) return socket
      socket.destroy()
    }
    return undefined
  }
}

function destroy({ near, far }: Pair): void {
  if (!near.destroyed) near.resetAndDestroy()
  if (!far.destroyed) far.resetAndDestroy()
}
