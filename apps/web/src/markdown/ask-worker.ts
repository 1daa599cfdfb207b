/** Asks a worker, which comes with the first question. The worker answers `{ id, input }` with `{ id, output }`. */

interface Waiting<TOutput> {
  readonly resolve: (output: TOutput) => void
  readonly reject: (error: Error) => void
}

/** @returns a function that rejects when the worker cannot be loaded; a later call tries again */
export function createAsk<TInput, TOutput>(start: () => Worker): (input: TInput) => Promise<TOutput> {
  const waiting = new Map<number, Waiting<TOutput>>()
  let worker: Worker | undefined
  let lastId = 0

  function startWorker(): Worker {
    const started = start()
    started.addEventListener('message', ({ data }: MessageEvent<{ id: number; output: TOutput }>) => {
      waiting.get(data.id)?.resolve(data.output)
      waiting.delete(data.id)
    })
    started.addEventListener('error', () => {
      started.terminate()
      worker = undefined
      for (const { reject } of waiting.values()) reject(new Error('The worker cannot be loaded, or has failed'))
      waiting.clear()
    })
    return started
  }

  return async (input) => {
    const asked = (worker ??= startWorker())
    const id = (lastId += 1)
    return await new Promise((resolve, reject) => {
      waiting.set(id, { resolve, reject })
      asked.postMessage({ id, input })
    })
  }
}
