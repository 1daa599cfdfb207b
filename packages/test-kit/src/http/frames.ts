/** A block of an event stream as it was on the wire. */
export interface WireFrame {
  readonly event?: string
  readonly id?: string
  readonly data?: string
  readonly retry?: string
  readonly comment?: string
}

/** The blocks of an event stream, one by one as they arrive. Leaving the loop closes the connection. */
export async function* readFrames(response: Response): AsyncGenerator<WireFrame, void, void> {
  if (response.body === null) throw new Error('No body to read')
  let text = ''
  for await (const chunk of response.body.pipeThrough(new TextDecoderStream())) {
    text += chunk
    const blocks = text.split(/\n\n\n?/)
    text = blocks.pop() ?? ''
    for (const block of blocks) if (block !== '') yield parseBlock(block)
  }
  // As in every EventSource, a `retry:` counts without the blank line after it, and the rest of an unfinished block does not.
  const retry = /^retry: (.*)\n/m.exec(text)?.[1]
  if (retry !== undefined) yield { retry }
}

/** The blocks up to the first that `isLast` accepts, which is the last one. */
export async function framesUntil(response: Response, isLast: (frame: WireFrame) => boolean): Promise<WireFrame[]> {
  const frames: WireFrame[] = []
  for await (const frame of readFrames(response)) {
    frames.push(frame)
    if (isLast(frame)) return frames
  }
  return frames
}

export async function allFrames(response: Response): Promise<WireFrame[]> {
  return await framesUntil(response, () => false)
}

function parseBlock(block: string): WireFrame {
  const fields = block
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon) || 'comment', line.slice(colon + 1).trimStart()]
    })
  return Object.fromEntries(fields) as WireFrame // parse border
}
