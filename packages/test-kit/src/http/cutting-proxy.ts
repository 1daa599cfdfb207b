/** A proxy before a server that cuts event streams where a test wants them cut; everything else passes. */
import { request as sendRequest } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { listen } from './listen.ts'

/** How much of an event stream passes before its socket is destroyed. */
export interface Cut {
  readonly batches?: number
  readonly bytes?: number
}

export interface CuttingProxy extends AsyncDisposable {
  readonly url: string
  /** Event streams that were opened so far. */
  readonly streams: number
  /** Event streams that were cut so far. */
  readonly cuts: number
  /** Cuts every open event stream now. */
  cut(): void
}

/**
 * @param target where each request goes
 * @param cutOf where to cut the nth event stream, from 0; undefined to let it pass
 */
export async function startCuttingProxy(
  target: () => string,
  cutOf: (nth: number) => Cut | undefined = () => undefined,
): Promise<CuttingProxy> {
  const open = new Set<ServerResponse>()
  let streams = 0
  let cuts = 0
  const server = await listen((incoming, outgoing) => {
    const { method = 'GET', headers, url = '/' } = incoming
    const upstream = sendRequest(target() + url, { method, headers }, (answer) => {
      outgoing.writeHead(answer.statusCode ?? 502, answer.headers)
      const isStream = answer.headers['content-type']?.startsWith('text/event-stream') === true
      if (isStream) open.add(outgoing)
      const cut = isStream ? cutOf(streams++) : undefined
      if (cut === undefined) answer.pipe(outgoing)
      else passUntil(answer, outgoing, { ...cut, onCut: () => cuts++ })
      answer.on('error', () => outgoing.destroy())
    })
    upstream.on('error', () => outgoing.destroy())
    outgoing.on('close', () => {
      open.delete(outgoing)
      upstream.destroy()
    })
    incoming.pipe(upstream)
  })
  return {
    url: server.url,
    get streams() {
      return streams
    },
    get cuts() {
      return cuts
    },
    cut: () => open.forEach((response) => response.destroy()),
    [Symbol.asyncDispose]: server[Symbol.asyncDispose],
  }
}

function passUntil(answer: IncomingMessage, outgoing: ServerResponse, cut: Cut & { onCut: () => void }): void {
  const { batches = Number.POSITIVE_INFINITY, bytes = Number.POSITIVE_INFINITY, onCut } = cut
  let passed = Buffer.alloc(0)
  answer.on('data', (chunk: Buffer) => {
    if (outgoing.writableEnded || outgoing.destroyed) return
    const all = Buffer.concat([passed, chunk])
    const end = endOfPart(all, { batches, bytes })
    const rest = all.subarray(passed.length, end)
    passed = all
    if (end === undefined) return void outgoing.write(rest)
    onCut()
    // Written out first: what is cut off is exactly what comes after the cut.
    outgoing.write(rest, () => outgoing.destroy())
    answer.destroy()
  })
  answer.on('end', () => outgoing.end())
}

/** Where the cut is in what has come so far; undefined while it is not there. */
function endOfPart(all: Buffer, { batches, bytes }: Required<Cut>): number | undefined {
  if (all.length >= bytes) return bytes
  let seen = 0
  for (let at = all.indexOf('\nid: '); at !== -1; at = all.indexOf('\nid: ', at + 1)) {
    const end = all.indexOf('\n\n', at)
    if (end !== -1 && ++seen >= batches) return end + 2
  }
  return undefined
}
