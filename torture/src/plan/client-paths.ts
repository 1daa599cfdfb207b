/** The addresses of real clients: each has its own proxy, which connects to a server that runs. */
import { TcpProxy } from '@verbatim/test-kit/http'
import type { World } from '../world/world.ts'

export class ClientPaths implements AsyncDisposable {
  readonly #world: World
  readonly #proxies: TcpProxy[] = []
  #turn = 0

  constructor(world: World) {
    this.#world = world
  }

  /** A proxy to server `via`, or to the other one while that is down. */
  async open(via: number): Promise<TcpProxy> {
    const proxy = await TcpProxy.start(() =>
      [0, 1]
        .map((at) => this.#world.server(via + this.#turn + at))
        .filter(({ isRunning }) => isRunning)
        .map(({ front }) => front.port),
    )
    this.#proxies.push(proxy)
    return proxy
  }

  /** Every client loses its connection and reconnects to the other server. */
  move(): void {
    this.#turn++
    for (const proxy of this.#proxies) proxy.cut()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#proxies.map(async (proxy) => await proxy[Symbol.asyncDispose]()))
  }
}
