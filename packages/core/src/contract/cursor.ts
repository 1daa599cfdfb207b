import { VerbatimError } from './errors.ts'
import type { RunId } from './identifiers.ts'

const maxCursorLength = 64

/** A place in a run's log: everything up to and including `seq` has been seen; 0 is before the first event. */
export interface Cursor {
  readonly runId: RunId
  readonly seq: number
}

/** The form clients keep and send back; opaque to them. */
export function toCursor(runId: RunId, seq: number): string {
  return `${runId}:${seq}`
}

/**
 * Reads a cursor that a client sent back for `runId`.
 *
 * @throws VerbatimError `INVALID_CURSOR` when it is malformed or of another run.
 */
export function fromCursor(text: string, runId: RunId): Cursor {
  const match = text.length <= maxCursorLength ? /^(.+):(0|[1-9]\d{0,14})$/.exec(text) : null
  const [, run, seq] = match ?? []
  if (run?.toLowerCase() !== runId || seq === undefined) {
    throw new VerbatimError('INVALID_CURSOR', 'The cursor is malformed or of another run', {
      data: { field: 'lastEventId' },
    })
  }
  return { runId, seq: Number(seq) }
}
