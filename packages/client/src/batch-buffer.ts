import { batchAfter, lastSeqOf } from '@verbatim/core'
import type { EventBatch } from '@verbatim/core'
import type { ReceivedBatch } from './transport/follow-run.ts'

/** The newest batches of a run, shared by all who read it. */
export interface BatchBuffer {
  /** Adds the next batch. When the buffer is full, the oldest ones make room: who adds then knows that somebody waits. */
  add(received: ReceivedBatch): void
  /** What comes right after `seq`: a batch, undefined when nothing is here yet, or `dropped` when it was and is no longer. */
  after(seq: number): EventBatch | 'dropped' | undefined
  /** True when another batch would push the oldest one out. */
  readonly isFull: boolean
}

/** @param maxChars how many characters of events are held, as they came over the wire */
export function createBatchBuffer(maxChars: number): BatchBuffer {
  let held: ReceivedBatch[] = []
  let first = 0 // index of the oldest one; what is before it is dropped in bulk, so that dropping costs O(1)
  let chars = 0

  function dropOldest(): void {
    chars -= held[first]?.chars ?? 0
    first += 1
    if (first * 2 < held.length) return
    held = held.slice(first)
    first = 0
  }

  /** Index of the batch that holds `seq`; batches join on to one another, so a binary search finds it. */
  function find(seq: number): number {
    let low = first
    let high = held.length
    while (low < high) {
      const middle = (low + high) >> 1
      const candidate = held[middle]
      if (candidate !== undefined && lastSeqOf(candidate.batch) < seq) low = middle + 1
      else high = middle
    }
    return low
  }

  return {
    add(received) {
      while (chars >= maxChars) dropOldest()
      held.push(received)
      chars += received.chars
    },
    after(seq) {
      const oldest = held[first]
      if (oldest !== undefined && seq + 1 < oldest.batch.firstSeq) return 'dropped'
      const found = held[find(seq + 1)]
      return found === undefined ? undefined : batchAfter(found.batch, seq)
    },
    get isFull() {
      return chars >= maxChars
    },
  }
}
