/** A clock that stands still while this process is not let run, so that a bound on the product is no bound on the machine. */
const tickMs = 20

export interface AwakeClock extends Disposable {
  /** How long the event loop has turned since the start, in steps of 20 ms. */
  readonly ms: number
}

/** The event loop makes one tick of however long it was held up. */
export function startAwakeClock(): AwakeClock {
  let ticks = 0
  const timer = setInterval(() => (ticks += 1), tickMs)
  return {
    get ms() {
      return ticks * tickMs
    },
    [Symbol.dispose]: () => clearInterval(timer),
  }
}
