/**
 * What connections bring is handled for a few milliseconds in a turn of the event loop; what is left waits for the next turn. Without
 * that, a thousand connections with a request each, or two hundred with a megabyte each, hold the loop for 200 ms at once.
 */

/** The part of a turn that what arrives may take, in milliseconds. The first piece of a turn never waits. */
const maxTurnMs = 5

/** At most so many of those that wait are handled in a turn: most of the work that a piece starts is done after it. */
const maxPiecesATurn = 16

/** Of those, one in so many is a stranger's, however many others wait. */
const strangersShare = 4

type Work = () => void

export interface ReadTurns {
  /** True when `work` may be done at once. */
  hasTime(): boolean
  /** Does `work` in a later turn: in order, those of connections that were answered before ahead of strangers. */
  postpone(work: Work, isStranger: boolean): void
}

export function createReadTurns(): ReadTurns {
  const acquaintances = new Set<Work>()
  const strangers = new Set<Work>()
  let beganMs: number | undefined

  const isInTime = () => beganMs !== undefined && performance.now() - beganMs < maxTurnMs
  const begin = () => {
    beganMs = performance.now()
    setImmediate(end)
  }
  const end = () => {
    beganMs = performance.now()
    for (let nth = 1; nth <= maxPiecesATurn && isInTime(); nth++) {
      const isStrangersTurn = nth % strangersShare === 0
      const line = (isStrangersTurn && strangers.size > 0) || acquaintances.size === 0 ? strangers : acquaintances
      const [work] = line
      if (work === undefined) break
      line.delete(work)
      work()
    }
    beganMs = undefined
    if (acquaintances.size + strangers.size > 0) begin()
  }
  return {
    hasTime() {
      if (beganMs === undefined) begin()
      return isInTime()
    },
    postpone: (work, isStranger) => void (isStranger ? strangers : acquaintances).add(work),
  }
}
