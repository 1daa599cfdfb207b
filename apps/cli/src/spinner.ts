const frames = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏']
const frameMs = 80
const clearLine = '\r\u001B[K'

/** Something that moves while one waits. */
export interface Spinner {
  /** Leaves the line as it was before. Can be called twice. */
  stop(): void
}

/** Shows `text` and the seconds it has been there; nothing when `stream` is no terminal. */
export function startSpinner(stream: NodeJS.WriteStream, text: string): Spinner {
  if (!stream.isTTY) return { stop: () => {} }
  const startedAt = performance.now()
  let frame = 0
  const draw = (): void => {
    const seconds = Math.floor((performance.now() - startedAt) / 1000)
    const line = `${frames[frame++ % frames.length]} ${text}${seconds < 3 ? '' : ` ${seconds} s`}`
    // Some terminals do not tell their width: 0.
    stream.write(clearLine + line.slice(0, (stream.columns || 80) - 1))
  }
  draw()
  let timer: NodeJS.Timeout | undefined = setInterval(draw, frameMs)
  return {
    stop() {
      if (timer === undefined) return
      clearInterval(timer)
      timer = undefined
      stream.write(clearLine)
    },
  }
}
