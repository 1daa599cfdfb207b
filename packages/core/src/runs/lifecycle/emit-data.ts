import type { DataEvent } from '../../contract/event.ts'
import type { Emit } from '../../ports/agent.ts'
import type { RunAppender } from '../log/append-events.ts'
import type { EmittedData } from './check-data-event.ts'

interface Emitting {
  readonly check: (emitted: EmittedData) => DataEvent
  readonly appender: RunAppender
  /** Aborts when the run no longer listens to its agent. */
  readonly signal: AbortSignal
  /** Called at each event: data is a sign of life. */
  readonly isAlive: () => void
}

/**
 * The `emit` of one run. Its events go into the log where they are called, between those that the agent yields: a tool streams its progress
 * while it runs and the agent waits for it.
 */
export function createEmit({ check, appender, signal, isAlive }: Emitting): Emit {
  async function append(emitted: EmittedData): Promise<void> {
    signal.throwIfAborted()
    const event = check(emitted)
    isAlive()
    await appender.append(event, signal)
  }
  return (name, data, { id } = {}) => {
    const appended = append({ name, data, id })
    // An agent that does not wait for it must not take the process down when the run is over.
    appended.catch(() => {})
    return appended
  }
}
