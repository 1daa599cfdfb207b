/** A reader over bare node:http with its own cursor logic, written from docs/protocol.md and not from our client. */
import { once } from 'node:events'
import { request as httpRequest } from 'node:http'
import type { ClientRequest, IncomingMessage } from 'node:http'
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
  /** Hangs up after this many batches and reconnects elsewhere, at most `maxDrops` times; 0 for never. */
  readonly dropEvery?: number
  /** Pauses for this long after each of its first batches, in milliseconds. */
  readonly slowMs?: number
  /** Whether a server has confirmed the run's start: "not found" is then wrong. */
  readonly wasAcked?: () => boolean
  /** Whether no caller asks about the start any more: "not found" is then an answer. */
  readonly isAbandoned?: () => boolean
}

const maxDrops = 12
const maxSlowBatches = 30

/** After this silence the connection counts as dead; the server sends a heartbeat every 300 ms. */
const idleMs = 1_500

/** Follows the run from the end of the history to the terminal event, whatever happens on the way. Never rejects. */
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
      if (history.hasEnded) history.end = 'terminal'
      else history.violate('the server ended the stream before the terminal event')
      break
    }
    if (end === 'not_found') {
      if (wasAcked || history.lastSeq > 0) history.violate('the server does not find a run that it has confirmed')
      else if (options.isAbandoned?.() === true) history.end = 'not_found'
      if (history.violations.length > 0 || history.end === 'not_found') break
    }
    if (end === 'dropped') drops++
    await sleep(15 + ((turn * 7) % 40), undefined, { signal }).catch(() => {})
  }
}

type ConnectionEnd = 'returned' | 'cut' | 'dropped' | 'silent' | 'not_found' | 'refused' | 'stopped'

async function readOnce(options: RawReaderOptions, { port }: Endpoint): Promise<ConnectionEnd> {
  const { history, signal, dropEvery = 0, slowMs = 0 } = options
  const { runId, lastSeq } = history
  const input = { runId, ...(lastSeq > 0 && { lastEventId: `${runId}:${lastSeq}` }) }
  const silence = new AbortController()
  const watchdog = setTimeout(() => silence.abort(), idleMs)
  const request = httpRequest({
    host: '127.0.0.1',
    port,
    path: `/trpc/runs.follow?input=${encodeURIComponent(JSON.stringify(input))}`,
    agent: false,
    headers: { accept: 'text/event-stream' },
    signal: AbortSignal.any([signal, silence.signal]),
  })
  try {
    let batches = 0
    for await (const frame of framesOf(request, watchdog)) {
      const end = takeFrame(history, frame)
      if (end !== undefined) return end
      if (frame.id === undefined) continue
      batches++
      if (dropEvery > 0 && batches % dropEvery === 0) return 'dropped'
      if (slowMs > 0 && batches < maxSlowBatches) await sleep(slowMs, undefined, { signal }).catch(() => {})
    }
    if (signal.aborted) return 'stopped'
    return silence.signal.aborted ? 'silent' : 'cut'
  } finally {
    clearTimeout(watchdog)
    request.destroy()
  }
}

function takeFrame(history: History, { event, id, data = '' }: Frame): ConnectionEnd | undefined {
  if (event === 'return') return 'returned'
  if (event === 'serialized-error') return takeError(history, data)
  if (event !== undefined || data === '') return undefined
  history.add(JSON.parse(data) as EventBatch) // the history checks what matters
  if (id !== `${history.runId}:${history.lastSeq}`) history.violate(`the cursor is ${id} at ${history.lastSeq}`)
  return undefined
}

function takeError(history: History, data: string): ConnectionEnd {
  const code = /"verbatim":\{"code":"([A-Z_]+)"/.exec(data)?.[1]
  if (code === 'RUN_NOT_FOUND') return 'not_found'
  history.violate(`refused at ${history.lastSeq} with ${code ?? data}`)
  return 'refused'
}

interface Frame {
  readonly event: string | undefined
  readonly id: string | undefined
  readonly data: string | undefined
}

/** The frames of one response; returns when the connection ends, for whatever reason. */
async function* framesOf(request: ClientRequest, watchdog: NodeJS.Timeout): AsyncGenerator<Frame, void, void> {
  let rest = ''
  request.on('error', () => {}).end()
  try {
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    if (response.statusCode !== 200) return
    for await (const chunk of response.setEncoding('utf8')) {
      watchdog.refresh()
      const frames = (rest + chunk).split('\n\n')
      rest = frames.pop() ?? ''
      for (const frame of frames) {
        // Not `.` and `$`: they stop at U+2028, which answers contain.
        const field = (name: string) => new RegExp(`(?:^|\\n)${name}: ?([^\\n]*)`).exec(frame)?.[1]
        yield { event: field('event'), id: field('id'), data: field('data') }
      }
      watchdog.refresh()
    }
  } catch {
    // The connection is gone; the caller's signals say why.
  }
}
