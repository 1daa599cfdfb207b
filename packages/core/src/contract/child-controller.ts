/** A controller that aborts with any of `parents`, until it is released. Not `AbortSignal.any`: Node 20 leaks those. */
export function childController(...parents: (AbortSignal | undefined)[]): {
  controller: AbortController
  release: () => void
} {
  const controller = new AbortController()
  const undo = parents.map((parent) => {
    const onAbort = () => controller.abort(parent?.reason)
    if (parent?.aborted) onAbort()
    parent?.addEventListener('abort', onAbort, { once: true })
    return () => parent?.removeEventListener('abort', onAbort)
  })
  return { controller, release: () => undo.forEach((stop) => stop()) }
}

/** The reason of what was closed. */
export function closedError(what: string): DOMException {
  return new DOMException(`${what} was closed`, 'AbortError')
}
