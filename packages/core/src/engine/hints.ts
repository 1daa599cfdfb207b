/** How this process learns of what others write: by hints of the database or of its peers, or by polls. */
import { sleep } from '../async/sleep.ts'
import { WatchOnDemand } from '../async/watch-on-demand.ts'
import type { ResolvedPorts } from '../ports/engine-ports.ts'
import type { LogListener, LogWatcher } from '../ports/event-log.ts'
import type { Logger } from '../ports/logger.ts'
import type { RunHints } from '../ports/run-hints.ts'
import type { AwaitedRuns } from '../runs/log/awaited-runs.ts'
import type { RunTail, RunTails } from '../runs/log/run-tail.ts'

/** Whether the hints of one kind come; a process assumes it until it learns otherwise. */
interface HintState {
  readonly areThere: boolean
  begin(): void
  end(reason: string): void
}

export interface Hints {
  readonly ofRuns: HintState
  readonly ofSessions: HintState
  readonly kind: 'change_streams' | 'peers' | 'polls'
}

export function createHints({ logWatcher, sessionWatcher, peerHints, logger }: ResolvedPorts): Hints {
  const ofRuns = createHintState(logWatcher !== undefined, { logger, of: 'runs' })
  const ofSessions = createHintState(sessionWatcher !== undefined, { logger, of: 'sessions' })
  return {
    ofRuns,
    ofSessions,
    get kind() {
      if (peerHints !== undefined) return 'peers'
      return ofRuns.areThere && ofSessions.areThere ? 'change_streams' : 'polls'
    },
  }
}

function createHintState(areThere: boolean, { logger, of }: { logger: Logger; of: string }): HintState {
  let current = areThere
  return {
    get areThere() {
      return current
    },
    begin: () => void (current = true),
    end(reason) {
      if (current)
        logger.warn({ of, reason }, 'The database gives no change streams: followers of other processes poll')
      current = false
    },
  }
}

interface Hinted {
  readonly tails: RunTails
  readonly awaitedRuns: AwaitedRuns
  readonly hints: HintState
  readonly pollMs: number
  readonly stopping: AbortSignal
}

/** The source of hints at runs of other processes. */
export function openRunHints(
  { logWatcher, peerHints, runRepository, logger }: ResolvedPorts,
  hinted: Hinted,
): RunHints {
  const { tails } = hinted
  if (peerHints !== undefined) {
    return peerHints.open({
      tailOf: (key) => tails.get(key),
      findHolders: (keys) => runRepository.findHolders(keys),
      onGrowth: (key, entry) => tails.grow(key, entry),
      logger,
      ...hinted,
    })
  }
  if (logWatcher !== undefined) return watchLog(logWatcher, hinted)
  return { want: () => {}, covers: () => false, closed: () => Promise.resolve() }
}

/** The watch of the fleet's log, which is open while a run of another process is followed here. */
function watchLog(watcher: LogWatcher, { tails, awaitedRuns, hints, stopping }: Hinted): RunHints {
  const listener: LogListener = {
    onGrowth: (key, entry) => tails.grow(key, entry),
    onGap() {
      hints.begin()
      tails.hintAll()
      awaitedRuns.look()
    },
    onUnsupported: (reason) => hints.end(reason),
  }
  const watch = (signal: AbortSignal) => watcher.watch(listener, signal)
  const demanded = new WatchOnDemand({ watch, isNeeded: () => tails.hasRemote }, stopping)
  return { want: () => demanded.start(), covers: () => hints.areThere, closed: () => demanded.closed() }
}

/** The pauses between looks whether a run that is followed is stored, in milliseconds. */
const startGraceMs = [100, 200, 400] as const

interface Wanting extends Pick<Hinted, 'awaitedRuns' | 'stopping'> {
  readonly runHints: RunHints
}

/**
 * Asks for hints at a run as soon as another process may write it. A client sends a start and its follow together: which of them comes
 * first, is chance, and a busy process is slow with the start. A run that is not stored has no writer yet, so there is nothing to hint
 * at; but a follower that waits for long is to receive the run's first event at once.
 */
export function createWants({ runHints, awaitedRuns, stopping }: Wanting): (tail: RunTail) => void {
  const looking = new WeakSet<RunTail>()
  const wantWhenStored = async (tail: RunTail) => {
    looking.add(tail)
    // Its own: at one signal of all, the eleventh listener is a leak to Node.
    const signal = AbortSignal.any([stopping])
    try {
      for (const [looks, pauseMs] of startGraceMs.entries()) {
        await sleep(pauseMs, signal)
        if (!tail.isWaiting || !tail.needsHints) return
        const isLast = looks === startGraceMs.length - 1
        // A database that is away tells nothing: the next look asks again.
        if (isLast || (await awaitedRuns.isStored(tail.key).catch(() => false))) break
      }
      if (tail.isWaiting && tail.needsHints) runHints.want(tail)
    } finally {
      looking.delete(tail)
    }
  }
  return (tail) => {
    if (!tail.isAwaited) runHints.want(tail)
    else if (!looking.has(tail)) wantWhenStored(tail).catch(() => {}) // the engine stops
  }
}
