/**
 * Text of an event stream in, frames out. In: chunks cut anywhere. Out: the frames that became whole.
 * Own code rather than a package: linear in the input however it is cut, and bounded, in less than a package's glue.
 */
import { VerbatimError } from '@verbatim/core'

/** One dispatched event of a stream. */
export interface SseFrame {
  /** `message` when the server named none. */
  readonly event: string
  readonly data: string
}

export interface SseParser {
  /**
   * The frames that `text` makes whole, in order.
   *
   * @throws VerbatimError `PAYLOAD_TOO_LARGE` when a frame grows past `maxFrameChars`
   */
  push(text: string): SseFrame[]
  /** The reconnection time of the stream's last `retry:` field, in milliseconds. */
  readonly retryMs: number | undefined
}

/** @param options.maxFrameChars the longest frame taken. A stored document is 16 MB at most. @default 64 Mi */
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
