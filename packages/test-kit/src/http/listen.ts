import { createServer } from 'node:http'
import type { RequestListener, Server } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An HTTP server on a free port of this machine. Disposing of it destroys its connections and waits until it is closed. */
export interface ListeningServer extends AsyncDisposable {
  readonly url: string
  readonly server: Server
}

export async function listen(handler: RequestListener): Promise<ListeningServer> {
  const server = createServer(handler)
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo // a TCP server has one
  return {
    url: `http://127.0.0.1:${port}`,
    server,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
