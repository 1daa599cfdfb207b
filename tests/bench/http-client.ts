/** HTTP as plain as it gets, so that what is measured is the server. */
import { Agent, get, request } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { wallClockMs } from './workload.ts'

// A connection each: one that is kept may be closed by the server in the moment it is used again.
const connections = new Agent({ keepAlive: false, maxSockets: Infinity })

/** A port of this machine, or who calls there; the server knows one user where none is named. */
type Target = number | { readonly port: number; readonly user: string }

export async function post(to: Target, path: string, body: string): Promise<void> {
  const { port, headers } = addressOf(to)
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const ofBody = { ...headers, 'content-type': 'application/json' }
    request({ host: '127.0.0.1', port, path, method: 'POST', headers: ofBody, agent: connections }, resolve)
      .once('error', reject)
      .end(body)
  })
  let text = ''
  for await (const piece of answer) text += String(piece)
  if (answer.statusCode !== 200) throw new Error(`${path} answered ${answer.statusCode}: ${text}`)
}

export async function open(to: Target, path: string): Promise<IncomingMessage> {
  const { port, headers } = addressOf(to)
  return await new Promise((resolve, reject) =>
    get({ host: '127.0.0.1', port, path, headers, agent: connections }, resolve).once('error', reject),
  )
}

function addressOf(to: Target) {
  return typeof to === 'number' ? { port: to, headers: {} } : { port: to.port, headers: { 'x-user': to.user } }
}

/** The path of `runs.follow`, from after `cursor` or from the run's start. */
export function followPath(runId: string, cursor?: string): string {
  return `/trpc/runs.follow?input=${encodeURIComponent(JSON.stringify({ runId, lastEventId: cursor }))}`
}

/** Calls `onFrames` with whole frames as they arrive; resolves at the stream's end. */
export async function readFrames(
  stream: IncomingMessage,
  onFrames: (text: string, nowMs: number) => void,
): Promise<void> {
  let rest = ''
  stream.setEncoding('utf8')
  await new Promise<void>((resolve, reject) => {
    stream.on('data', (piece: string) => {
      const nowMs = wallClockMs()
      const text = rest + piece
      const end = text.lastIndexOf('\n\n')
      rest = text.slice(end + 1)
      if (end !== -1) onFrames(text.slice(0, end + 1), nowMs)
    })
    stream.once('end', resolve)
    stream.once('error', reject)
  })
}
