import type { Offer, OwnedRun } from '../../ports/run-repository.ts'

/** What whoever ends a run needs so that the session's next prompt has its turn. */
export interface Turns {
  /** How long this process may take to begin the next run before others may: no time when it is stopping. */
  offer(): Offer
  /** Begins the run that a session was handed to, if there is one; in the background, and never throws. */
  begin(next: OwnedRun | undefined): void
}
