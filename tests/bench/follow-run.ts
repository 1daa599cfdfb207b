/** One run as a raw follower sees it. */
import type { BenchServer } from './bench-server.ts'
import { followPath, open, readFrames } from './http-client.ts'
import { stampsIn } from './workload.ts'

export interface FollowedRun {
  readonly runId: string
  /** Resolves with the first token. */
  readonly begun: Promise<void>
  /** Resolves with the terminal event, which is in {@link end} then. */
  readonly ended: Promise<void>
  /** Of every token, when it arrived and when it was made. */
  readonly tokens: { readonly atMs: number; readonly madeMs: number }[]
  end: { readonly type: string; readonly continuedBy: string | undefined; readonly atMs: number } | undefined
}

const terminal = /"type":"(run_(?:completed|failed|cancelled|interrupted))"/
const continuedBy = /"continuedBy":"([^"]+)"/

/** Follows a run at `server` until its terminal event. */
export function followRun(server: BenchServer, runId: string): FollowedRun {
  const begun = Promise.withResolvers<void>()
  const ended = Promise.withResolvers<void>()
  const run: FollowedRun = { runId, begun: begun.promise, ended: ended.promise, tokens: [], end: undefined }
  const fail = (error: unknown) => {
    begun.reject(error)
    ended.reject(error)
  }
  const onFrames = (text: string, nowMs: number) => {
    for (const madeMs of stampsIn(text)) run.tokens.push({ atMs: nowMs, madeMs })
    if (run.tokens.length > 0) begun.resolve()
    const type = terminal.exec(text)?.[1]
    if (type === undefined) return
    run.end = { type, continuedBy: continuedBy.exec(text)?.[1], atMs: nowMs }
    ended.resolve()
  }
  open(server.port, followPath(runId))
    .then(async (stream) => {
      await readFrames(stream, onFrames)
      fail(new Error(`The follow of ${runId} ended before the run`))
    })
    .catch(fail)
  ended.promise.catch(() => {}) // the caller that awaits it gets the error
  begun.promise.catch(() => {})
  return run
}
