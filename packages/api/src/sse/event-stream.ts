/** What `runs.follow` and /chat/sse share as event streams: their headers, and how they send a client back or away. */
import { isTransient } from '@verbatim/core'
import type { VerbatimError } from '@verbatim/core'
import type { Logger } from '@verbatim/core/server'
import type { ApiOptions } from '../api-options.ts'
import { reportedErrorOf } from '../to-wire-error.ts'
import type { LastWords } from './stream-writer.ts'

/** Proxies that compress or collect would hold a stream back. */
export const unbuffered = { 'cache-control': 'no-store, no-transform', 'x-accel-buffering': 'no' } as const

export const eventStreamHeaders = { 'content-type': 'text/event-stream; charset=utf-8', ...unbuffered } as const

/**
 * Tells an EventSource how long to wait before it comes back: about `reconnectMs`. Each stream gets another wait, so that
 * the clients of a server that stops do not all come back at one moment. It is a line of the frame that follows, or the last line
 * of the stream: some readers take a frame of its own for a message without data.
 */
export function reconnectHint({ reconnectMs }: ApiOptions): string {
  const fraction = (crypto.getRandomValues(new Uint16Array(1))[0] ?? 0) / 0xffff
  return retryField(reconnectMs * (0.5 + fraction))
}

/** How a failed stream ends: `frame` tells the client what failed, unless the failure may pass; then the client reconnects. */
export function lastWordsOf(
  failure: unknown,
  { options, logger, where }: { options: ApiOptions; logger: Logger | undefined; where: string },
  frame: (error: VerbatimError) => string,
): LastWords {
  const error = reportedErrorOf(failure, { logger, where })
  if (!isTransient(error)) return { text: frame(error), isFinal: true }
  const { retryAfterMs } = error.data
  return { text: retryAfterMs === undefined ? reconnectHint(options) : retryField(retryAfterMs), isFinal: false }
}

function retryField(retryMs: number): string {
  return `retry: ${Math.round(retryMs)}\n`
}
