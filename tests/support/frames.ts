/** Following over raw HTTP: what a client in any language does, without ours. */
import { EventBatch, isTerminalEvent, lastSeqOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { expect } from 'vitest'
import { query, readFrames } from '@verbatim/test-kit/http'
import type { App } from './app.ts'

interface RawBatch {
  readonly id: string
  readonly batch: EventBatch
}

export interface RawFollow {
  readonly batches: readonly RawBatch[]
  readonly events: RunEvent[]
  /** True when the server said that this was all. */
  readonly hasReturned: boolean
}

export interface RawFollowInput {
  /** The cursor to come back with, as a header. */
  readonly lastEventId?: string | undefined
  /** Hangs up after so many batches. */
  readonly maxBatches?: number
  /** Hangs up after this event. */
  readonly untilSeq?: number
  readonly onBatch?: (batch: RawBatch) => unknown
  readonly user?: string | null
}

/** One connection of `runs.follow`. Fails when an event is missing, doubled or out of order, or an id is not its batch's. */
export async function followRaw(app: App, runId: string, input: RawFollowInput = {}): Promise<RawFollow> {
  const { lastEventId, onBatch, user = 'ada' } = input
  const { maxBatches = Number.POSITIVE_INFINITY, untilSeq = Number.POSITIVE_INFINITY } = input
  const headers: Record<string, string> = lastEventId === undefined ? {} : { 'last-event-id': lastEventId }
  const response = await app.fetch(query('runs.follow', { runId }), { headers, user })
  const batches: RawBatch[] = []
  let hasReturned = false
  let seq = lastEventId === undefined ? 0 : Number(lastEventId.split(':')[1])
  for await (const { event, id, data = '' } of readFrames(response)) {
    if (event === 'serialized-error') throw new Error(data)
    if (event === 'return') hasReturned = true
    if (id === undefined) continue
    const batch = EventBatch.parse(JSON.parse(data))
    expect(batch.firstSeq).toBe(seq + 1)
    seq = lastSeqOf(batch)
    expect(id).toBe(`${runId}:${seq}`)
    const raw = { id, batch }
    batches.push(raw)
    await onBatch?.(raw)
    if (batches.length >= maxBatches || seq >= untilSeq) break
  }
  const events = batches.flatMap(({ batch }) => batch.events)
  expect(hasReturned && !events.some(isTerminalEvent) && batches.length > 0).toBe(false)
  return { batches, events, hasReturned }
}
