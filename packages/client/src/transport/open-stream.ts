/**
 * One connection of a follow. In: a run and a place in it. Out: the frames of one HTTP answer, read only as fast as they are taken.
 * Ends when the answer ends; throws when it is refused, cut or silent. Who calls decides whether to come back.
 */
import { childController, VerbatimError } from '@verbatim/core'
import type { Connection } from './connection.ts'
import { createSseParser } from './parse-sse.ts'
import type { SseFrame } from './parse-sse.ts'
import { errorOfResponse } from './to-error.ts'
import { onWakeUp, raceSignal } from './wait.ts'

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
    const url = `${connection.url}/${request.path}?input=${encodeURIComponent(JSON.stringify(request.input))}`
    const init = { headers: { accept: 'text/event-stream' }, cache: 'no-store', signal } as const
    const response = await watchdog.guard(
      raceSignal(connection.fetch(url, init, { refresh: request.refreshToken }), signal),
    )
    const reader = (await watchdog.guard(bodyOf(response, signal))).getReader()
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

async function bodyOf(response: Response, signal: AbortSignal): Promise<ReadableStream<Uint8Array>> {
  if (response.status !== 200) throw await raceSignal(errorOfResponse(response), signal)
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

function createWatchdog(idleTimeoutMs: number, abort: (reason: VerbatimError) => void): Watchdog {
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
