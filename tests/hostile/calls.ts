/** HTTP as plain as it gets: nothing retries or waits but the server. */
import { Agent, request as httpRequest } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
import { text } from 'node:stream/consumers'

export interface Call {
  /** What a failure is reported as. @default the path */
  readonly name?: string | undefined
  readonly path: string
  readonly method?: 'GET' | 'POST' | undefined
  readonly body?: string | undefined
  /** The bearer token: its user's id. */
  readonly user?: string | undefined
  readonly signal?: AbortSignal | undefined
  /** The connections to use. @default a new one for the call */
  readonly agent?: Agent | undefined
}

export interface Reply {
  readonly status: number
  readonly text: string
}

const connections = new Agent({ keepAlive: false, maxSockets: Infinity })

export function mutation(path: string, input: unknown): Call {
  return { path: `/trpc/${path}`, method: 'POST', body: JSON.stringify(input) }
}

export function query(path: string, input: unknown): Call {
  return { path: `/trpc/${path}?input=${encodeURIComponent(JSON.stringify(input))}` }
}

/** The request as it goes out; its errors are the response's. */
function send(port: number, { path, method = 'GET', body, user, signal, agent = connections }: Call): ClientRequest {
  const headers = {
    ...(method === 'POST' ? { 'content-type': 'application/json' } : {}),
    ...(user === undefined ? {} : { authorization: `Bearer ${user}` }),
  }
  const request = httpRequest({ host: '127.0.0.1', port, path, method, headers, agent, signal })
  request.end(body)
  return request
}

/** The response, its body unread. @throws the socket's error, or the signal's reason */
export async function open(port: number, call: Call): Promise<IncomingMessage> {
  const request = send(port, call)
  return await new Promise((resolve, reject) => {
    request.once('response', resolve)
    // It stays: a socket may fail again after it has failed.
    request.on('error', reject)
  })
}

export async function ask(port: number, call: Call): Promise<Reply> {
  const response = await open(port, call)
  return { status: response.statusCode ?? 0, text: await text(response) }
}
