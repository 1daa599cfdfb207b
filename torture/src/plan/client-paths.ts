/** The ways of real clients into the fleet: each an address of its own, behind which is a server that lives. */
import { TcpProxy } from '../world/tcp-proxy.ts'
import type { World } from '../world/world.ts'

export class ClientPaths implements AsyncDisposable {
  readonly #world: World
  readonly #proxies: TcpProxy[] = []
  #turn = 0

  constructor(world: World) {
    this.#world = world
  }

  /** A way that leads to server `via`, or to another while that is down. */
  async open(via: number): Promise<TcpProxy> {
    const world = this.#world
    const proxy = await TcpProxy.start(() =>
      [0, 1].flatMap((at) =>
        world.server(via + this.#turn + at).isRunning ? [world.server(via + this.#turn + at).front.port] : [],
      ),
    )
    this.#proxies.push(proxy)
    return proxy
  }

  /** Every client loses its connection and comes back at another server. */
  move(): void {
    this.#turn++
    for (const proxy of this.#proxies) proxy.cut()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all(this.#proxies.map(async (proxy) => await proxy[Symbol.asyncDispose]()))
  }
}
