import { batchAfter, lastSeqOf } from './event.ts'
import type { EventBatch } from './event.ts'

/** The newest batches of a run, shared by all who read it. */
export interface BatchBuffer {
  /** Adds the next batch. When the buffer is full, the oldest ones make room: the caller adds then because a reader waits. */
  add(batch: EventBatch): void
  /** What comes right after `seq`: a batch, undefined when it is not here yet, or `dropped` when it was and is no longer. */
  after(seq: number): EventBatch | 'dropped' | undefined
  /** True when another batch would push the oldest one out. */
  readonly isFull: boolean
}

/** @param maxChars how many characters of events the buffer holds, as JSON */
export function createBatchBuffer(maxChars: number): BatchBuffer {
  let held: { readonly batch: EventBatch; readonly chars: number }[] = []
  let first = 0 // index of the oldest one; what is before it is dropped in bulk, so that dropping costs O(1)
  let chars = 0

  function dropOldest(): void {
    chars -= held[first]?.chars ?? 0
    first += 1
    if (first * 2 < held.length) return
    held = held.slice(first)
    first = 0
  }

  /** Index of the batch that holds `seq`; each batch begins where the one before ends, so a binary search finds it. */
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
    add(batch) {
      while (chars >= maxChars) dropOldest()
      const size = JSON.stringify(batch).length
      held.push({ batch, chars: size })
      chars += size
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
