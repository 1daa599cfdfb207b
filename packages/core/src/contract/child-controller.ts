/** A controller that aborts with any of `parents`, until it is released. Not `AbortSignal.any`: Node 20 leaks those. */
export function childController(...parents: (AbortSignal | undefined)[]): {
  controller: AbortController
  release: () => void
} {
  const controller = new AbortController()
  const undo = parents.map((parent) => {
    if (parent === undefined) return () => {}
    const onAbort = () => controller.abort(parent.reason)
    if (parent.aborted) onAbort()
    return listen(parent, onAbort)
  })
  return { controller, release: () => undo.forEach((stop) => stop()) }
}

/** Each signal has one listener, however many children it has: Node warns of a leak from the eleventh listener on. */
const children = new WeakMap<AbortSignal, Set<() => void>>()

function listen(signal: AbortSignal, onAbort: () => void): () => void {
  const known = children.get(signal)
  const ofSignal = known ?? new Set()
  ofSignal.add(onAbort)
  if (known === undefined) {
    children.set(signal, ofSignal)
    signal.addEventListener('abort', () => ofSignal.forEach((abort) => abort()), { once: true })
  }
  return () => void ofSignal.delete(onAbort)
}

/** The reason of what was closed. */
export function closedError(what: string): DOMException {
  return new DOMException(`${what} was closed`, 'AbortError')
}
