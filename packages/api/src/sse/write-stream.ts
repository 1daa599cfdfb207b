/** Items in, frames out: the one writer of `runs.follow`, /chat/sse and /chat/stream. */
import type { OpenStream, StreamManners } from './open-stream.ts'

/** How a stream of items reads on the wire. */
export interface StreamFormat<TItem> extends StreamManners {
  /** What comes before the first item. */
  readonly opening: string
  /** An item's text; empty when it has nothing to say in this format. */
  encode(item: TItem): string
  /** What comes behind the last item. */
  readonly ending: string
  /** The failure as the last words of a whole stream; undefined ends it before its time, so that the client comes back. */
  failure(error: unknown): string | undefined
  /** Like `interrupted`, for a failure that says when to come back. */
  interruptedBy(error: unknown): string | undefined
}

/** Writes what `open` yields, as fast as the reader reads; stops pulling when the stream is closed. Never rejects. */
export async function writeStream<TItem>(
  stream: OpenStream,
  open: (signal: AbortSignal) => AsyncIterable<TItem> | Promise<AsyncIterable<TItem>>,
  format: StreamFormat<TItem>,
): Promise<void> {
  try {
    if (format.opening !== '') await stream.write(format.opening)
    for await (const item of await open(stream.signal)) {
      const text = format.encode(item)
      if (text !== '') await stream.write(text)
    }
    stream.finish(format.ending)
  } catch (error) {
    if (stream.signal.aborted) return // whoever closed it knows
    const lastWords = format.failure(error)
    if (lastWords === undefined) stream.interrupt('failed', format.interruptedBy(error))
    else stream.finish(lastWords, 'failed')
  }
}
