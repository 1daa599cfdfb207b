/** A reader by bare node:http with cursor logic of its own, written from docs/protocol.md and not from our client. */
import { request as httpRequest } from 'node:http'
import type { IncomingMessage } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { EventBatch } from '@verbatim/core'
import type { Endpoint } from './raw-calls.ts'
import { ViolationError } from './history.ts'
import type { History } from './history.ts'

export interface RawReaderOptions {
  readonly history: History
  /** Tried in turn. */
  readonly endpoints: readonly Endpoint[]
  readonly signal: AbortSignal
  /** Hangs up after so many batches and comes back elsewhere, a dozen times; 0 for never. */
  readonly dropEvery?: number
  /** Reads nothing for so long behind each of its first batches, in milliseconds. */
  readonly slowMs?: number
  /** Whether the run's start has been confirmed: then "not found" is a lie. */
  readonly wasAcked?: () => boolean
  /** Whether nobody will confirm the start any more: then "not found" is an answer. */
  readonly isAbandoned?: () => boolean
}

const maxDrops = 12
const maxSlowBatches = 30

/** Silence for so long is a dead connection; the server's heartbeat is 300 ms. */
const idleMs = 1_500

/** Follows the history's run from where the history is to the terminal event, whatever happens on the way. Never rejects. */
export async function readRun(options: RawReaderOptions): Promise<void> {
  const { history, signal, endpoints } = options
  let drops = 0
  for (let turn = 0; !signal.aborted; turn++) {
    const endpoint = endpoints[turn % endpoints.length]
    if (endpoint === undefined) break
    const wasAcked = options.wasAcked?.() ?? true
    const dropEvery = drops < maxDrops ? (options.dropEvery ?? 0) : 0
    const end = await readOnce({ ...options, dropEvery }, endpoint).catch((error: unknown) => {
      if (error instanceof ViolationError) return 'violated' as const
      throw error
    })
    if (end === 'violated' || end === 'refused') break
    if (end === 'returned') {
      if (!history.hasEnded) history.violate('the stream was said to be over before the terminal event')
      else history.end = 'terminal'
      break
    }
    if (end === 'not_found') {
      if (wasAcked || history.lastSeq > 0) history.violate('a run that was confirmed is not found')
      else if (options.isAbandoned?.() === true) history.end = 'not_found'
      if (history.violations.length > 0 || history.end === 'not_found') break
    }
    if (end === 'dropped') drops++
    history.note(end)
    await sleep(15 + ((turn * 7) % 40), undefined, { signal }).catch(() => {})
  }
}

type ConnectionEnd = 'returned' | 'cut' | 'dropped' | 'silent' | 'not_found' | 'refused' | 'stopped'

async function readOnce(options: RawReaderOptions, endpoint: Endpoint): Promise<ConnectionEnd> {
  const { history, signal, dropEvery = 0, slowMs = 0 } = options
  const { runId } = history
  const lastEventId = history.lastSeq === 0 ? {} : { lastEventId: `${runId}:${history.lastSeq}` }
  const input = encodeURIComponent(JSON.stringify({ runId, ...lastEventId }))
  const connection = openConnection(endpoint, `/trpc/runs.follow?input=${input}`, signal)
  try {
    let batches = 0
    for await (const frame of framesOf(connection)) {
      const end = takeFrame(history, frame)
      if (end !== undefined) return end
      if (frame.id === undefined) continue
      batches++
      if (dropEvery > 0 && batches % dropEvery === 0) return 'dropped'
      if (slowMs > 0 && batches < maxSlowBatches) await sleep(slowMs, undefined, { signal }).catch(() => {})
    }
    return connection.end
  } finally {
    connection.close()
  }
}

function takeFrame(history: History, frame: Frame): ConnectionEnd | undefined {
  switch (frame.event) {
    case 'return':
      return 'returned'
    case 'serialized-error':
      return takeError(history, frame.data)
    case undefined: {
      if (frame.data === '') return undefined
      const batch = JSON.parse(frame.data) as EventBatch // the history checks what matters
      history.add(batch)
      if (frame.id !== `${history.runId}:${history.lastSeq}`)
        history.violate(`the cursor ${frame.id} at ${history.lastSeq}`)
      return undefined
    }
    default:
      return undefined
  }
}

function takeError(history: History, data: string): ConnectionEnd {
  const code = /"verbatim":\{"code":"([A-Z_]+)"/.exec(data)?.[1]
  if (code === 'RUN_NOT_FOUND') return 'not_found'
  history.violate(`refused at ${history.lastSeq} with ${code ?? data}`)
  return 'refused'
}

interface Connection extends AsyncIterable<string> {
  readonly end: ConnectionEnd
  close(): void
}

/** Chunks of one answer; ends when it ends, whatever ends it. */
function openConnection({ port }: Endpoint, path: string, signal: AbortSignal): Connection {
  let end: ConnectionEnd = 'cut'
  const request = httpRequest({ host: '127.0.0.1', port, path, agent: false, headers: { accept: 'text/event-stream' } })
  const watchdog = setTimeout(() => finish('silent'), idleMs)
  const stop = () => finish('stopped')
  function finish(reason: ConnectionEnd): void {
    end = reason
    request.destroy()
  }
  signal.addEventListener('abort', stop, { once: true })
  const opened = new Promise<IncomingMessage | undefined>((resolve) => {
    request.on('error', () => resolve(undefined))
    request.on('close', () => resolve(undefined))
    request.on('response', resolve)
  })
  request.end()
  if (signal.aborted) stop()
  return {
    get end() {
      return end
    },
    close() {
      clearTimeout(watchdog)
      signal.removeEventListener('abort', stop)
      request.destroy()
    },
    async *[Symbol.asyncIterator]() {
      const response = await opened
      if (response?.statusCode !== 200) return
      try {
        for await (const chunk of response.setEncoding('utf8')) {
          watchdog.refresh()
          yield chunk as string
          watchdog.refresh()
        }
      } catch {
        // A cut, by them or by us: `end` says which.
      }
    },
  }
}

interface Frame {
  event: string | undefined
  id: string | undefined
  data: string
}

async function* framesOf(chunks: AsyncIterable<string>): AsyncGenerator<Frame, void, void> {
  let rest = ''
  let frame: Frame = { event: undefined, id: undefined, data: '' }
  for await (const chunk of chunks) {
    const lines = (rest + chunk).split('\n')
    rest = lines.pop() ?? ''
    for (const line of lines) {
      if (line !== '') setField(frame, line)
      else {
        yield frame
        frame = { event: undefined, id: undefined, data: '' }
      }
    }
  }
}

function setField(frame: Frame, line: string): void {
  const colon = line.indexOf(':')
  const value = line.slice(colon + 1).replace(/^ /, '')
  switch (line.slice(0, colon)) {
    case 'event':
      frame.event = value
      return
    case 'id':
      frame.id = value
      return
    case 'data':
      frame.data += value
      return
    default:
  }
}
