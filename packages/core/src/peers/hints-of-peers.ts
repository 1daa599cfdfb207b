/**
 * Takes hints of the processes whose runs are followed here: one connection to each such process, so the cost follows what is followed,
 * not what the fleet writes. A run whose process cannot be reached, or gives no hints, is polled until the next try finds it.
 */
import type { GrownEntry, RunKey } from '../ports/event-log.ts'
import type { HintedProcess, LogTail, RunHints } from '../ports/run-hints.ts'
import { HintLink } from './hint-link.ts'
import { peerOf } from './process-name.ts'

/** So many keys are in one read. */
const maxKeysPerRead = 1_000
/** Processes that this one is connected to at most; runs of further ones it polls. */
const maxLinks = 1_024
/** Between two tries to reach a process that cannot be reached, at most, in milliseconds. */
const maxRetryMs = 30_000

interface Followed {
  tail: LogTail
  /** The process that was asked for hints. */
  holderId?: string | undefined
  areHintsComing: boolean
}

interface Failure {
  readonly count: number
  readonly retryAtMs: number
}

export interface HintsOfPeersOptions {
  readonly process: HintedProcess
  /** Of this process. */
  readonly processId: string
  readonly key: Buffer
}

export class HintsOfPeers implements RunHints {
  readonly #options: HintsOfPeersOptions
  readonly #runs = new Map<RunKey, Followed>()
  readonly #links = new Map<string, HintLink>()
  /** Those that have not ended yet, also when they are in use no more. */
  readonly #ending = new Set<Promise<void>>()
  readonly #failures = new Map<string, Failure>()
  /** Runs whose holder is not known. */
  readonly #unplaced = new Set<RunKey>()
  #placing: Promise<void> | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(options: HintsOfPeersOptions) {
    this.#options = options
    const { stopping } = options.process
    stopping.addEventListener('abort', () => this.#close(), { once: true })
  }

  want(tail: LogTail): void {
    if (tail.lastSeq === 0 || this.#options.process.stopping.aborted) return // before its first event a run has no holder
    const known = this.#runs.get(tail.key)
    if (known !== undefined) return void (known.tail = tail)
    this.#runs.set(tail.key, { tail, areHintsComing: false })
    this.#unplaced.add(tail.key)
    this.#timer ??= setInterval(() => this.#sweep(), this.#options.process.pollMs)
    this.#placeSoon()
  }

  covers({ key }: LogTail): boolean {
    return this.#runs.get(key)?.areHintsComing === true
  }

  async closed(): Promise<void> {
    await this.#placing
    await Promise.all(this.#ending)
  }

  #close(): void {
    clearInterval(this.#timer)
    for (const link of this.#links.values()) link.close()
  }

  /** Forgets what is not followed any more, and tries again to find who writes the rest. */
  #sweep(): void {
    const { process } = this.#options
    for (const [key, { tail, holderId }] of this.#runs) {
      const isFollowed = tail.isRemote && process.tailOf(key) === tail
      if (!isFollowed) this.#drop(key)
      else if (holderId === undefined) this.#unplaced.add(key)
    }
    for (const [processId, link] of this.#links) {
      if (!link.isIdle) continue
      this.#links.delete(processId)
      link.close()
    }
    for (const [processId, { retryAtMs }] of this.#failures) {
      if (retryAtMs + maxRetryMs < performance.now()) this.#failures.delete(processId) // it is not tried any more
    }
    this.#placeSoon()
    if (this.#runs.size > 0) return
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #drop(key: RunKey): void {
    const holderId = this.#runs.get(key)?.holderId
    if (holderId !== undefined) this.#links.get(holderId)?.unfollow(key)
    this.#runs.delete(key)
    this.#unplaced.delete(key)
  }

  #placeSoon(): void {
    // The next sweep tries again what failed.
    this.#placing ??= this.#place()
      .catch(() => {})
      .finally(() => (this.#placing = undefined))
  }

  async #place(): Promise<void> {
    const { process } = this.#options
    await new Promise(setImmediate) // for those that wait in the same turn of the event loop
    while (this.#unplaced.size > 0 && !process.stopping.aborted) {
      const keys = [...this.#unplaced].slice(0, maxKeysPerRead)
      for (const key of keys) this.#unplaced.delete(key)
      const holders = await process.findHolders(keys)
      for (const { key, processId } of holders) if (!process.stopping.aborted) this.#follow(key, processId)
    }
  }

  #follow(key: RunKey, processId: string): void {
    const run = this.#runs.get(key)
    const link = run?.holderId === undefined ? this.#linkTo(processId) : undefined
    if (run === undefined || link === undefined) return
    run.holderId = processId
    link.follow(key, run.tail.lastSeq)
  }

  /** Undefined when the process gives no hints, or none now. */
  #linkTo(processId: string): HintLink | undefined {
    const known = this.#links.get(processId)
    if (known !== undefined) return known
    const peer = peerOf(processId)
    const mayTry = (this.#failures.get(processId)?.retryAtMs ?? 0) <= performance.now()
    const isAway = peer === undefined || processId === this.#options.processId || !mayTry
    if (isAway || this.#links.size >= maxLinks) return undefined
    const listener = {
      onFollowed: (key: RunKey) => {
        this.#failures.delete(processId)
        this.#mark(key, processId, { areHintsComing: true })
      },
      onLeft: (key: RunKey) => this.#mark(key, processId, { areHintsComing: false, holderId: undefined }),
      onGrowth: (key: RunKey, entry?: GrownEntry) => this.#options.process.onGrowth(key, entry),
    }
    const link = new HintLink(peer, { key: this.#options.key, listener })
    this.#links.set(processId, link)
    const ended = link.closed.then((reason) => {
      this.#ending.delete(ended)
      if (this.#links.get(processId) === link) this.#lose(processId, reason)
    })
    this.#ending.add(ended)
    return link
  }

  #mark(key: RunKey, processId: string, change: Pick<Followed, 'areHintsComing' | 'holderId'>): void {
    const run = this.#runs.get(key)
    if (run?.holderId === processId) Object.assign(run, change)
  }

  /** The polls go on with its runs. */
  #lose(processId: string, reason: string): void {
    const { logger, stopping, pollMs } = this.#options.process
    this.#links.delete(processId)
    const lost = [...this.#runs.values()].filter((run) => run.holderId === processId)
    for (const run of lost) Object.assign(run, { areHintsComing: false, holderId: undefined })
    if (lost.length === 0 || stopping.aborted) return
    const count = (this.#failures.get(processId)?.count ?? 0) + 1
    const delayMs = Math.min(maxRetryMs, pollMs * 2 ** Math.min(count, 10))
    this.#failures.set(processId, { count, retryAtMs: performance.now() + delayMs })
    if (count === 1)
      logger.warn({ peer: processId, runs: lost.length, reason }, 'A process gives no hints: its runs are polled')
  }
}
