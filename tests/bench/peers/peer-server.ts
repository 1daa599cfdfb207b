/**
 * A peer behind node:http, with the two requests that the bench's clients make of Verbatim: one starts a stream, one follows it. Forked by
 * peers.ts; arguments: the peer's name, and its options as JSON.
 */
import { createServer } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { paceTokens, tokensAtOnce } from '../workload.ts'
import type { StreamPlan } from '../workload.ts'
import type { OpenPeer, Peer, PeerOptions } from './peer.ts'
import { openPlain } from './plain.ts'
import { openResumableStream } from './resumable-stream.ts'
import { openWorkflowWorld } from './workflow-world.ts'

const openers: Readonly<Record<string, OpenPeer>> = {
  plain: openPlain,
  'resumable-stream': openResumableStream,
  'workflow-world': openWorkflowWorld,
}

const [, , name = '', options = ''] = process.argv
const peer = await openers[name]?.(JSON.parse(options) as PeerOptions) // written by peers.ts
process.on('disconnect', () => process.exit())
if (peer === undefined) process.send?.({ isInstalled: false })
else serve(peer)

/** What the start of a stream asks for. */
interface Start {
  readonly runId: string
  readonly agentId?: string
  readonly message: string
}

function serve(peer: Peer): void {
  /** A follow may come before its start. */
  const begun = new Map<string, PromiseWithResolvers<void>>()
  const beginningOf = (id: string) => {
    const known = begun.get(id) ?? Promise.withResolvers<void>()
    begun.set(id, known)
    return known
  }
  const start = async (request: IncomingMessage, response: ServerResponse) => {
    let body = ''
    for await (const piece of request) body += String(piece)
    const { runId, agentId, message } = JSON.parse(body) as Start // written by the bench's clients
    const texts = agentId === 'burst' ? tokensAtOnce() : paceTokens(JSON.parse(message) as StreamPlan)
    await peer.begin(runId, texts)
    beginningOf(runId).resolve()
    response.end('{}')
  }
  const follow = async (query: URLSearchParams, response: ServerResponse) => {
    const { runId } = JSON.parse(query.get('input') ?? '') as Pick<Start, 'runId'> // as above
    await beginningOf(runId).promise
    response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' })
    for await (const text of await peer.read(runId)) {
      if (!response.write(`data: ${JSON.stringify({ text })}\n\n`))
        await new Promise((resolve) => response.once('drain', resolve))
    }
    begun.delete(runId)
    response.end('data: {"type":"done"}\n\n')
  }
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://localhost')
    void (request.method === 'POST' ? start(request, response) : follow(url.searchParams, response))
  })
  server.listen(0, '127.0.0.1', () => {
    const { port } = server.address() as AddressInfo // a TCP server has one
    process.send?.({ isInstalled: true, port })
  })
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    process.send?.({ cpuMs: (user + system) / 1_000 })
  })
}
