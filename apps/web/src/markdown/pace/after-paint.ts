/** A page that is not painted gets no frames. */
const maxFrameMs = 100

/** Calls `action` in a task of its own after the next frame, with the time that the frame took. Returns what calls it off. */
export function afterPaint(action: (frameMs: number) => void): () => void {
  let task: ReturnType<typeof setTimeout>
  const late = setTimeout(() => {
    cancelAnimationFrame(frame)
    action(0)
  }, maxFrameMs)
  const frame = requestAnimationFrame(() => {
    const began = performance.now()
    clearTimeout(late)
    task = setTimeout(() => action(performance.now() - began))
  })
  return () => {
    cancelAnimationFrame(frame)
    clearTimeout(late)
    clearTimeout(task)
  }
}
