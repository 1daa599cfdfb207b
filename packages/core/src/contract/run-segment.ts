import { createBatchBuffer } from './batch-buffer.ts'
import type { BatchBuffer } from './batch-buffer.ts'
import type { RunId } from './identifiers.ts'
import { emptyAnswer } from './reduce-events.ts'
import type { Answer } from './reduce-events.ts'
import type { RunSegment } from './run-handle.ts'
import type { RunSource } from './run-source.ts'

/** A run of an answer as its handle holds it: followed from a place on, into a buffer that all readers share. */
export interface Segment extends RunSegment {
  /** Seq after which the handle follows it. */
  readonly after: number
  /** False when `answer` lacks what came before `after`. */
  readonly isWhole: boolean
  readonly buffer: BatchBuffer
  answer: Answer
  sessionId?: string
}

export function createSegment(
  { maxBufferedChars }: RunSource,
  runId: RunId,
  { answer, isWhole }: { answer: Answer; isWhole: boolean } = { answer: emptyAnswer, isWhole: true },
): Segment {
  return { runId, after: answer.lastSeq, isWhole, buffer: createBatchBuffer(maxBufferedChars), answer }
}
