import type { RunEvent } from '../../contract/event.ts'
import type { MessageId, RunId } from '../../contract/identifiers.ts'
import type { Owner } from '../../contract/principal.ts'
import type { Agent } from '../../ports/agent.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'

/** A run that has begun, with the events that are stored of it. */
export interface StartedRun {
  readonly owned: OwnedRun
  readonly agent: Agent
  readonly events: readonly RunEvent[]
}

/** A run that may have begun: what is needed to recognise it, and to drive it. */
export interface InDoubtStart extends Omit<StartedRun, 'owned'> {
  readonly owner: Owner
  readonly runId: RunId
  /** Made for this one call: tells the run from another call's of the same id. */
  readonly messageId: MessageId
}
