/**
 * The calls of one principal take turns: a few are in work at once, more wait, and many are refused. So no caller fills the database's
 * connections, the event loop or the memory with its own calls, and another's call is answered as fast as ever.
 */
import { VerbatimError } from '@verbatim/core'
import { callerKey } from '../context.ts'
import type { Caller } from '../context.ts'

export interface CallTurnsOptions {
  /** Calls of one principal in work. */
  readonly maxCallsPerPrincipal: number
  /** Calls of one principal that wait; their bodies are not read yet. */
  readonly maxWaitingCallsPerPrincipal: number
}

interface Turns {
  active: number
  readonly waiting: Set<() => void>
}

/** What a refused caller should wait, in milliseconds. */
const retryAfterMs = 1_000

export class CallTurns {
  readonly #options: CallTurnsOptions
  /** Only of principals with calls. */
  readonly #turnsOf = new Map<string, Turns>()

  constructor(options: CallTurnsOptions) {
    this.#options = options
  }

  /**
   * Resolves when it is the call's turn, with what ends the turn; to call that again changes nothing. All callers without a
   * principal are one.
   *
   * @throws VerbatimError `RATE_LIMITED` when too many calls wait; the signal's reason when it aborts
   */
  async enter(caller: Caller | null, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    const { maxCallsPerPrincipal, maxWaitingCallsPerPrincipal } = this.#options
    const key = callerKey(caller)
    const turns = this.#turnsOf.get(key) ?? { active: 0, waiting: new Set() }
    this.#turnsOf.set(key, turns)
    if (turns.active < maxCallsPerPrincipal) turns.active++
    else if (turns.waiting.size < maxWaitingCallsPerPrincipal) await wait(turns, signal)
    else {
      const message = 'Too many calls at once; wait for the answers of some, then call again'
      throw new VerbatimError('RATE_LIMITED', message, { data: { kind: 'calls', retryAfterMs } })
    }
    let hasLeft = false
    return () => {
      if (!hasLeft) this.#leave(key, turns)
      hasLeft = true
    }
  }

  #leave(key: string, turns: Turns): void {
    const [begin] = turns.waiting
    if (begin !== undefined) return begin() // the turn is the next call's now
    turns.active--
    if (turns.active === 0) this.#turnsOf.delete(key)
  }
}

/** Resolves with a turn that another call has left. */
function wait({ waiting }: Turns, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const begin = () => {
      waiting.delete(begin)
      signal.removeEventListener('abort', giveUp)
      resolve()
    }
    const giveUp = () => {
      waiting.delete(begin)
      reject(signal.reason)
    }
    waiting.add(begin)
    signal.addEventListener('abort', giveUp, { once: true })
  })
}
