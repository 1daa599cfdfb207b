/**
 * The newest committed batches of one run, shared by all its followers in this process.
 * In: batches of a local run as they commit, or the log's own, read on a hint or a poll. Out: what lies past a seq.
 * A follower that needs an older batch reads the log, so a slow follower never makes this memory grow.
 */
import { isVerbatimError } from '../../contract/errors.ts'
import type { EventBatch } from '../../contract/event.ts'
import { batchAfter, isTerminalEvent, lastSeqOf } from '../../contract/event.ts'
import type { EventLog, GrownEntry, RunKey } from '../../ports/event-log.ts'

export interface TailOptions {
  readonly eventLog: EventLog
  /** Bytes of batches kept per run. */
  readonly maxRingBytes: number
  /** Called when a follower waits for a run that another process writes, or may write. */
  readonly onRemoteWait: (tail: RunTail) => void
}

/** One read holds so many batches at once, and each may be as long as a run may have pending; a follower that waits causes the next read. */
const maxBatchesPerRead = 16

export class RunTail {
  readonly key: RunKey
  readonly #options: TailOptions
  readonly #waiters = new Set<(failure?: Error) => void>()
  #ring: { batch: EventBatch; bytes: number }[] = []
  #ringBytes = 0
  #lastSeq = 0
  #isLocal = false
  #startsHere = 0
  #hasEnded = false
  /** The log may hold more than this tail: a hint came after the last read. */
  #isStale = false
  #refreshing: Promise<void> | undefined

  constructor(key: RunKey, options: TailOptions) {
    this.key = key
    this.#options = options
  }

  /** Seq of the newest known event; 0 before the first. */
  get lastSeq(): number {
    return this.#lastSeq
  }

  /** Batches past `after`, empty when all are seen; undefined when they are not in memory and the log must be read. */
  after(after: number): EventBatch[] | undefined {
    if (after === this.#lastSeq && after > 0) return []
    const [oldest] = this.#ring
    if (oldest === undefined || oldest.batch.firstSeq > after + 1 || after > this.#lastSeq) return undefined
    // From the newest back: a follower that keeps up wants the last one of what may be thousands.
    const found: EventBatch[] = []
    for (let at = this.#ring.length - 1; at >= 0; at--) {
      const entry = this.#ring[at]
      const rest = entry && batchAfter(entry.batch, after)
      if (rest === undefined) break
      found.push(rest)
    }
    return found.reverse()
  }

  /** A follower has read the log up to `seq` and found no more: the tail goes on from there. */
  joinAt(seq: number): void {
    if (seq <= this.#lastSeq) return
    this.#ring = []
    this.#ringBytes = 0
    this.#lastSeq = seq
    this.wake() // followers before `seq` find the events between in the log
  }

  /** Adds a committed batch and wakes the waiters. Known events are ignored; after a gap the ring starts empty. */
  publish(batch: EventBatch, bytes: number): void {
    const fresh = batchAfter(batch, this.#lastSeq)
    if (fresh === undefined) return
    this.joinAt(fresh.firstSeq - 1)
    this.#ring.push({ batch: fresh, bytes })
    this.#ringBytes += bytes
    this.#lastSeq = lastSeqOf(fresh)
    while (this.#ringBytes > this.#options.maxRingBytes && this.#ring.length > 1) {
      this.#ringBytes -= this.#ring.shift()?.bytes ?? 0
    }
    this.#hasEnded = batch.events.some(isTerminalEvent)
    this.wake()
  }

  /** True while this process writes the run: its batches come by {@link publish}, so there is nothing to poll. */
  setLocal(isLocal: boolean): void {
    this.#isLocal = isLocal
    if (!isLocal) this.wake()
  }

  /** A start of the run is under way in this process. Until the returned function is called, its followers need no hints. */
  expectStart(): () => void {
    this.#startsHere++
    return () => {
      this.#startsHere--
      if (!this.#isLocal) this.wake() // the run is another process's, or waits, or was refused
    }
  }

  /** True while this process writes the run. */
  get isLocal(): boolean {
    return this.#isLocal
  }

  /** True before the run's first event: whether it is stored at all, is asked for all such runs together (see awaited-runs.ts). */
  get isAwaited(): boolean {
    return this.#lastSeq === 0
  }

  /** True while a follower may wait for batches that another process writes. */
  get isRemote(): boolean {
    return !this.#isLocal && !this.#hasEnded
  }

  /** True while hints of other processes may bring its batches. */
  get needsHints(): boolean {
    return this.isRemote && this.#startsHere === 0
  }

  /** True while a follower waits for such a batch. */
  get isWaiting(): boolean {
    return this.isRemote && this.#waiters.size > 0
  }

  wake(): void {
    for (const settle of this.#waiters) settle()
  }

  /**
   * Resolves at the next batch; rejects when the log says that there will be none. Call {@link after} right before: no batch can
   * come in between, and a hint that came after the caller's own read of the log causes a read now.
   */
  wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) return reject(signal.reason)
      const leave = () => {
        this.#waiters.delete(settle)
        signal.removeEventListener('abort', onAbort)
      }
      const settle = (failure?: Error) => {
        leave()
        if (failure === undefined) resolve()
        else reject(failure)
      }
      const onAbort = () => {
        leave()
        reject(signal.reason)
      }
      this.#waiters.add(settle)
      signal.addEventListener('abort', onAbort, { once: true })
      if (this.needsHints) this.#options.onRemoteWait(this)
      if (this.#isStale) this.#refreshQuietly()
    })
  }

  /**
   * The log has grown in some process. Without a waiter the tail only remembers this: a slow follower reads the log by itself,
   * from its own seq, and the tail need not read those events again.
   */
  hint(): void {
    this.#isStale = true
    if (this.#waiters.size > 0) this.#refreshQuietly()
  }

  /**
   * An entry was added to the log. It is published when it is exactly the next one: it is committed, and an entry of the log never
   * changes, so a read would bring the same. Of any other the tail only remembers that the log has grown.
   */
  async grow(entry: GrownEntry): Promise<void> {
    if (!this.isRemote || entry.firstSeq <= this.#lastSeq) return
    if (entry.firstSeq !== this.#lastSeq + 1) return this.hint()
    try {
      const batch = await entry.open()
      // One without events is what is left of a deleted run, in a log that was restored.
      if (batch.events.length > 0) return this.publish(batch, entry.bytes)
    } catch {
      // The read of the log meets the same error, and tells the followers.
    }
    this.hint()
  }

  /** Reads the batches past the newest known one from the log. A call during a read makes it read again. */
  refresh(): Promise<void> {
    if (!this.isRemote) return Promise.resolve()
    this.#isStale = true
    this.#refreshing ??= this.#readLog()
    return this.#refreshing
  }

  async #readLog(): Promise<void> {
    try {
      while (this.#isStale && this.isRemote) {
        const hasMore = await this.#readOnce()
        this.#isStale ||= hasMore
        // The woken followers take these first; their next wait reads the rest.
        if (hasMore && this.#waiters.size === 0) break
      }
    } catch (error) {
      this.#isStale = true
      // The events are gone for good. After a transient error the next read tries again.
      if (isVerbatimError(error) && !error.retryable) for (const settle of this.#waiters) settle(error)
      throw error
    } finally {
      // In the same turn as the last check above: a later hint starts a new read.
      this.#refreshing = undefined
    }
  }

  /** Answers whether there may be more. */
  async #readOnce(): Promise<boolean> {
    this.#isStale = false
    const batches = await this.#options.eventLog.read(this.key, { after: this.#lastSeq, maxBatches: maxBatchesPerRead })
    for (const batch of batches) this.publish(batch, JSON.stringify(batch.events).length)
    return batches.length === maxBatchesPerRead
  }

  #refreshQuietly(): void {
    this.refresh().catch(() => {}) // the database is away: the next poll tries again, and followers keep their cursor
  }
}

/** The tails in use; one per run, dropped with its last user. */
export class RunTails {
  readonly #options: TailOptions
  readonly #tails = new Map<RunKey, { tail: RunTail; users: number }>()

  constructor(options: TailOptions) {
    this.#options = options
  }

  /** The run's tail; return it with {@link release}. */
  acquire(key: RunKey): RunTail {
    const entry = this.#tails.get(key) ?? { tail: new RunTail(key, this.#options), users: 0 }
    entry.users++
    this.#tails.set(key, entry)
    return entry.tail
  }

  release(tail: RunTail): void {
    const entry = this.#tails.get(tail.key)
    if (entry?.tail === tail && --entry.users === 0) this.#tails.delete(tail.key)
  }

  /** Around a step that may start the run here, see {@link RunTail.expectStart}. */
  expectStart(key: RunKey): () => void {
    const tail = this.acquire(key)
    const begun = tail.expectStart()
    return () => {
      begun()
      this.release(tail)
    }
  }

  /** The run's tail, when it is in use. */
  get(key: RunKey): RunTail | undefined {
    return this.#tails.get(key)?.tail
  }

  /** A hint: the run's log has grown in some process. */
  hint(key: RunKey): void {
    this.#tails.get(key)?.tail.hint()
  }

  /** A hint that may bring the entry along. */
  grow(key: RunKey, entry: GrownEntry | undefined): Promise<void> | void {
    const tail = this.#tails.get(key)?.tail
    return entry === undefined ? tail?.hint() : tail?.grow(entry)
  }

  /** Hints may be lost: every tail whose run has begun reads the log. */
  hintAll(): void {
    for (const { tail } of this.#tails.values()) if (!tail.isAwaited) tail.hint()
  }

  /** Those whose followers wait for what another process writes. */
  waiting(): RunTail[] {
    return [...this.#tails.values()].flatMap(({ tail }) => (tail.isWaiting ? [tail] : []))
  }

  /** True while a run of another process is followed here. */
  get hasRemote(): boolean {
    return [...this.#tails.values()].some(({ tail }) => tail.needsHints)
  }

  get size(): number {
    return this.#tails.size
  }
}
