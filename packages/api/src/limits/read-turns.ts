/**
 * What connections bring is handled for a few milliseconds in a turn of the event loop; what is left waits for the next turn. Without
 * that, a thousand connections with a request each, or two hundred with a megabyte each, hold the loop for 200 ms at once.
 */

/** The part of a turn that what arrives may take, in milliseconds. The first piece of a turn never waits. */
const turnMs = 5

/**
 * Where the turns are long because of other work, it may take a third as long as that, up to this. Else a busy process, with turns of 60 ms,
 * would read for a twelfth of its time: a thousand callers whom it refuses would learn so after 8 s.
 */
const maxTurnMs = 20
const otherShare = 1 / 3

/** At most so many of those that wait are handled in a turn of 5 ms: most of the work that a piece starts is done after it. */
const piecesATurn = 16

/** Of those, one in so many is a stranger's, however many others wait. */
const strangersShare = 4

/** So many probes go ahead in a turn: a balancer asks whether a busy process lives, and a flood of probes holds up no other. */
const probesATurn = 4

type Work = () => void

export interface ReadTurns {
  /** True when `work` may be done at once. */
  hasTime(): boolean
  /** Does `work` later, in order: a few probes first, then those of connections that were answered before ahead of strangers. */
  postpone(work: Work, from: Sender): void
}

type Sender = 'probe' | 'acquaintance' | 'stranger'

export function createReadTurns(): ReadTurns {
  const probes = new Set<Work>()
  const acquaintances = new Set<Work>()
  const strangers = new Set<Work>()
  const lines = { probe: probes, acquaintance: acquaintances, stranger: strangers } as const
  let beganMs: number | undefined

  /** When the turn before ended, while there is more to handle: what comes between is other work. */
  let endedMs: number | undefined
  let budgetMs = turnMs

  const isInTime = () => beganMs !== undefined && performance.now() - beganMs < budgetMs
  const begin = () => {
    beganMs = performance.now()
    setImmediate(end)
  }
  const end = () => {
    beganMs = performance.now()
    const otherMs = endedMs === undefined ? 0 : beganMs - endedMs
    budgetMs = Math.min(maxTurnMs, Math.max(turnMs, otherMs * otherShare))
    const maxPieces = (piecesATurn * budgetMs) / turnMs
    for (let nth = 1; nth <= maxPieces && isInTime(); nth++) {
      const line = lineOf(nth)
      const [work] = line
      if (work === undefined) break
      line.delete(work)
      work()
    }
    beganMs = undefined
    budgetMs = turnMs
    endedMs = undefined
    if (probes.size + acquaintances.size + strangers.size === 0) return
    endedMs = performance.now()
    begin()
  }
  const lineOf = (nth: number) => {
    const others = acquaintances.size + strangers.size
    if (probes.size > 0 && (nth <= probesATurn || others === 0)) return probes
    const isStrangersTurn = nth % strangersShare === 0
    return (isStrangersTurn && strangers.size > 0) || acquaintances.size === 0 ? strangers : acquaintances
  }
  return {
    hasTime() {
      if (beganMs === undefined) begin()
      return isInTime()
    },
    postpone: (work, from) => void lines[from].add(work),
  }
}
