/**
 * One connection of a follow. In: a run and a place in it. Out: the frames of one HTTP answer, read only as fast as they are taken.
 * Ends when the answer ends; throws when it is refused, cut or silent. The caller decides whether to come back.
 */
import { childController, VerbatimError } from '@verbatim/core'
import type { Connection } from './connection.ts'
import { errorOfResponse } from './to-error.ts'
import type { Transformer } from './transformer.ts'
import { onWakeUp, raceSignal } from './wait.ts'

/** One dispatched event of a stream. */
export interface SseFrame {
  /** `message` when the server named none. */
  readonly event: string
  readonly data: string
}

export interface StreamRequest {
  readonly path: string
  readonly input: unknown
  /** Ask for a new token: the last one was refused. */
  readonly refreshToken: boolean
  readonly signal: AbortSignal
  readonly onRetryHint: (retryMs: number) => void
}

/** @throws VerbatimError; the signal's reason when it aborts */
export async function* openStream(
  connection: Connection,
  request: StreamRequest,
): AsyncGenerator<SseFrame, void, void> {
  const { controller, release } = childController(request.signal)
  const { signal } = controller
  const watchdog = createWatchdog(connection.idleTimeoutMs, (reason) => controller.abort(reason))
  try {
    const url = `${connection.url}/${request.path}?input=${encodeURIComponent(JSON.stringify(connection.transformer.encode(request.input)))}`
    const init = { headers: { accept: 'text/event-stream' }, cache: 'no-store', signal } as const
    const response = await watchdog.guard(
      raceSignal(connection.fetch(url, init, { refresh: request.refreshToken }), signal),
    )
    const reader = (await watchdog.guard(bodyOf(response, { transformer: connection.transformer, signal }))).getReader()
    const parser = createSseParser()
    const decoder = new TextDecoder()
    for (;;) {
      const { done, value } = await watchdog.guard(raceSignal(reader.read(), signal))
      if (done) return
      const frames = parser.push(decoder.decode(value, { stream: true }))
      if (parser.retryMs !== undefined) request.onRetryHint(parser.retryMs)
      yield* frames
    }
  } finally {
    release()
    watchdog.stop()
    controller.abort() // frees the socket when the frames are no longer wanted
  }
}

async function bodyOf(
  response: Response,
  { transformer, signal }: { transformer: Transformer; signal: AbortSignal },
): Promise<ReadableStream<Uint8Array>> {
  if (response.status !== 200) throw await raceSignal(errorOfResponse(response, transformer), signal)
  if (!response.headers.get('content-type')?.startsWith('text/event-stream')) {
    throw new VerbatimError(
      'UNAVAILABLE',
      'Something between here and the server answered instead of it (not an event stream)',
    )
  }
  if (response.body === null) {
    throw new VerbatimError('INVALID_INPUT', 'This fetch cannot stream; give createClient one that can', {
      data: { field: 'fetch' },
    })
  }
  return response.body
}

interface Watchdog {
  /** `waiting`, watched: only time spent waiting for the server counts as its silence, never a slow reader's own. */
  guard<TValue>(waiting: Promise<TValue>): Promise<TValue>
  stop(): void
}

/** Calls `abort` when the server is silent for too long. */
export function createWatchdog(idleTimeoutMs: number, abort: (reason: VerbatimError) => void): Watchdog {
  let waitingSince: number | undefined
  const expire = () => abort(new VerbatimError('UNAVAILABLE', `The server was silent for ${idleTimeoutMs} ms`))
  // Timers sleep with the page and a changed network leaves dead sockets behind, so a wake-up decides at once.
  const stopListening = onWakeUp((cause) => {
    if (waitingSince === undefined) return
    if (cause === 'online' || performance.now() - waitingSince > idleTimeoutMs / 2) expire()
  })
  return {
    async guard(waiting) {
      waitingSince = performance.now()
      const timer = setTimeout(expire, idleTimeoutMs)
      try {
        return await waiting
      } finally {
        clearTimeout(timer)
        waitingSince = undefined
      }
    },
    stop: stopListening,
  }
}

interface SseParser {
  /**
   * The frames that `text` makes whole, in order.
   *
   * @throws VerbatimError `PAYLOAD_TOO_LARGE` when a frame grows past `maxFrameChars`
   */
  push(text: string): SseFrame[]
  /** The reconnection time of the stream's last `retry:` field, in milliseconds. */
  readonly retryMs: number | undefined
}

/**
 * Makes a parser of an event stream: chunks cut anywhere in, frames out. Own code rather than a package: linear in the input however
 * it is cut, and bounded, in less than a package's glue.
 *
 * @param options.maxFrameChars the longest frame taken. A stored document is 16 MB at most. @default 64 Mi
 */
export function createSseParser({ maxFrameChars = 64 * 1024 * 1024 }: { maxFrameChars?: number } = {}): SseParser {
  const splitLines = createLineSplitter()
  let frameChars = 0
  let event = ''
  let data: string[] = []
  let retryMs: number | undefined

  function takeLine(line: string, frames: SseFrame[]): void {
    if (line !== '') return takeField(line)
    if (data.length > 0) frames.push({ event: event === '' ? 'message' : event, data: data.join('\n') })
    event = ''
    data = []
    frameChars = 0
  }

  function takeField(line: string): void {
    const colon = line.indexOf(':')
    const name = colon === -1 ? line : line.slice(0, colon)
    const value = colon === -1 ? '' : line.slice(line[colon + 1] === ' ' ? colon + 2 : colon + 1)
    if (name === 'data') data.push(value)
    else if (name === 'event') event = value
    else if (name === 'retry' && /^\d{1,9}$/.test(value)) retryMs = Number(value)
  }

  return {
    push(text) {
      const frames: SseFrame[] = []
      frameChars += text.length
      for (const line of splitLines(text)) takeLine(line, frames)
      if (frameChars > maxFrameChars) {
        throw new VerbatimError('PAYLOAD_TOO_LARGE', 'The server sent an event longer than this client takes', {
          data: { maxBytes: maxFrameChars },
        })
      }
      return frames
    },
    get retryMs() {
      return retryMs
    },
  }
}

/** Lines end with LF, CR or CR LF; what is not ended yet is kept in pieces, so that no character is looked at twice. */
function createLineSplitter(): (text: string) => string[] {
  let pieces: string[] = []
  let endedWithCr = false
  return (text) => {
    const lines: string[] = []
    // A CR at the end of the last chunk has ended its line; an LF that follows belongs to it.
    let start = endedWithCr && text.startsWith('\n') ? 1 : 0
    if (text !== '') endedWithCr = text.endsWith('\r')
    let cr = text.indexOf('\r', start)
    let lf = text.indexOf('\n', start)
    for (;;) {
      if (cr !== -1 && cr < start) cr = text.indexOf('\r', start)
      if (lf !== -1 && lf < start) lf = text.indexOf('\n', start)
      const end = cr !== -1 && (lf === -1 || cr < lf) ? cr : lf
      if (end === -1) break
      pieces.push(text.slice(start, end))
      lines.push(pieces.length === 1 ? (pieces[0] ?? '') : pieces.join(''))
      pieces = []
      start = end === cr && text[end + 1] === '\n' ? end + 2 : end + 1
    }
    if (start < text.length) pieces.push(text.slice(start))
    return lines
  }
}
