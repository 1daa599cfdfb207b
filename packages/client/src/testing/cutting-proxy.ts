/** A real proxy before a real server, which cuts event streams where a test wants them cut. */
/// <reference types="node" />
import { createServer, request as send } from 'node:http'
import type { ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

export interface CuttingProxy extends AsyncDisposable {
  readonly url: string
  /** Event streams opened so far. */
  readonly streams: number
  /** Cuts every open stream now. */
  cut(): void
}

/** @param maxBatches batches that an event stream may bring before its socket is destroyed; Infinity for all */
export async function startCuttingProxy(
  target: () => string,
  { maxBatches = Number.POSITIVE_INFINITY } = {},
): Promise<CuttingProxy> {
  let streams = 0
  const open = new Set<ServerResponse>()
  const server = createServer((incoming, outgoing) => {
    const upstream = send(
      target() + (incoming.url ?? ''),
      { method: incoming.method ?? 'GET', headers: incoming.headers },
      (answer) => {
        outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
        if (!answer.headers['content-type']?.startsWith('text/event-stream')) return void answer.pipe(outgoing)
        streams += 1
        open.add(outgoing)
        let batches = 0
        answer.setEncoding('utf8')
        answer.on('data', (text: string) => {
          outgoing.write(text)
          batches += text.split('\nid: ').length - 1
          if (batches >= maxBatches) setImmediate(() => outgoing.destroy())
        })
        answer.on('end', () => outgoing.end())
        answer.on('error', () => outgoing.destroy())
      },
    )
    upstream.on('error', () => outgoing.destroy())
    outgoing.on('close', () => {
      open.delete(outgoing)
      upstream.destroy()
    })
    incoming.pipe(upstream)
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    get streams() {
      return streams
    },
    cut: () => open.forEach((response) => response.destroy()),
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}
