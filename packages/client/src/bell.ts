/** Lets any number wait for the next change. Ringing with nobody there is forgotten, so look at the state before waiting. */
export interface Bell {
  ring(): void
  /** Resolves at the next ring; never rejects. */
  wait(): Promise<void>
}

export function createBell(): Bell {
  let ringing: Promise<void> | undefined
  let ring = () => {}
  return {
    ring() {
      ringing = undefined
      ring()
    },
    async wait() {
      ringing ??= new Promise((resolve) => {
        ring = resolve
      })
      await ringing
    },
  }
}
