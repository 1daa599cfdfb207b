/** What is measured: streams of tokens that carry the time they were made at, at a pace both servers keep in the same way. */

/** One kind of load. */
export interface Workload {
  readonly streams: number
  /** Of each stream; null is as fast as the server takes them, one a turn of its event loop. */
  readonly tokensPerSecond: number | null
  readonly seconds: number
}

/** A stream's part of a workload, as the load generator asks for it. */
export interface StreamPlan {
  /** When the first token is due, in milliseconds of {@link wallClockMs}. */
  readonly beginAtMs: number
  readonly tokensPerSecond: number | null
  readonly seconds: number
}

/** What the agent `flood` says at once: nearly the longest answer that a server may be set to take. */
export const floodBytes = 11 * 1024 * 1024
export const floodPieceBytes = 32 * 1024

/** The tokens that the agent `burst` says at once. */
const burstTokens = 200

/** Comparable across processes of one machine, finer than a millisecond. */
export function wallClockMs(): number {
  return performance.timeOrigin + performance.now()
}

/** A token of about five letters beside its time stamp. */
export function tokenText(): string {
  return `word ${wallClockMs().toFixed(3)} `
}

/** The time stamps in a piece of a stream. */
export function stampsIn(text: string): number[] {
  return Array.from(text.matchAll(/word (\d{13}\.\d{3})/g), ([, stamp]) => Number(stamp))
}

/** The tokens of a stream, each made when it is due. */
export async function* paceTokens({ beginAtMs, tokensPerSecond, seconds }: StreamPlan): AsyncGenerator<string> {
  await sleepUntil(beginAtMs)
  const endAtMs = beginAtMs + seconds * 1_000
  if (tokensPerSecond === null) {
    while (wallClockMs() < endAtMs) {
      await new Promise((resolve) => setImmediate(resolve))
      yield tokenText()
    }
    return
  }
  const betweenMs = 1_000 / tokensPerSecond
  for (let dueMs = beginAtMs; dueMs < endAtMs; dueMs += betweenMs) {
    await sleepUntil(dueMs)
    yield tokenText()
  }
}

/** A whole short answer at once. */
export async function* tokensAtOnce(): AsyncGenerator<string> {
  for (let nth = 0; nth < burstTokens; nth++) yield tokenText()
}

async function sleepUntil(dueMs: number): Promise<void> {
  const waitMs = dueMs - wallClockMs()
  if (waitMs > 0) await new Promise((resolve) => setTimeout(resolve, waitMs))
}
