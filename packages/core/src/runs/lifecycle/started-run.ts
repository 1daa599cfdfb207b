import type { RunEvent } from '../../contract/event.ts'
import type { Agent } from '../../ports/agent.ts'
import type { OwnedRun } from '../../ports/run-repository.ts'

/** A run that has begun, with the events that are stored of it. */
export interface StartedRun {
  readonly owned: OwnedRun
  readonly agent: Agent
  readonly events: readonly RunEvent[]
}
