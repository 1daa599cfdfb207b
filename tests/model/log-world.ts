/** The real thing under the model: storage over the real MongoDB, whose driver fails where a command says so. */
import { ownerOf } from '@verbatim/core'
import type { ContentBlock, Owner, RunEvent, RunMetrics, TerminalEvent, TerminalStatus } from '@verbatim/core'
import { createMongoStorage } from '@verbatim/core/mongodb'
import type { MongoStorage } from '@verbatim/core/mongodb'
import { systemClock } from '@verbatim/core/server'
import type { RunKey } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { noMetrics } from '../support/metrics.ts'
import { faultyClient } from './faulty-client.ts'
import type { FaultyClient } from './faulty-client.ts'

export const owner: Owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
export const agentId = 'modelled'

/** Held for longer than a sequence takes. */
export const longMs = 600_000

export interface World {
  readonly storage: MongoStorage
  readonly faults: FaultyClient
  /** A text that no other event has: an event in the wrong place is seen. */
  word(): string
}

export async function openWorld(database: TestDatabase): Promise<World> {
  await clear(database)
  const faults = faultyClient(database.client)
  const { databaseName } = database
  let words = 0
  return {
    faults,
    storage: createMongoStorage({ client: faults.client, databaseName, clock: systemClock }),
    word: () => `word ${++words} `,
  }
}

/** What a sequence that failed has left must not be found by the next one: claims look at all runs there are. */
async function clear({ client, databaseName }: TestDatabase): Promise<void> {
  const collections = await client.db(databaseName).collections()
  await Promise.all(collections.map(async (collection) => await collection.deleteMany({})))
}

export const metrics: RunMetrics = { ...noMetrics, latencyMs: 1 }

export function textDelta(text: string): RunEvent {
  return { type: 'content_block_delta', index: 0, delta: { type: 'text_delta', text } }
}

export function textContent(text: string): ContentBlock[] {
  return [{ type: 'text', text }]
}

export function terminalEvent(status: TerminalStatus, messageId: string, continuedBy?: string): TerminalEvent {
  const error = { code: 'RUN_FENCED', message: 'lost', retryable: true, data: {} } as const
  switch (status) {
    case 'completed':
      return { type: 'run_completed', messageId, metrics }
    case 'refused':
      return { type: 'run_refused', messageId, metrics }
    case 'cancelled':
      return { type: 'run_cancelled', messageId, metrics }
    case 'failed':
      return { type: 'run_failed', messageId, metrics, error }
    case 'interrupted':
      return {
        type: 'run_interrupted',
        messageId,
        metrics,
        error,
        ...(continuedBy === undefined ? {} : { continuedBy }),
      }
  }
}

export function anySignal(): AbortSignal {
  return AbortSignal.timeout(15_000)
}

/** Every event past `after`, read in pages of `maxBatches`; throws when they do not join on. */
export async function readPages(
  { storage }: Pick<World, 'storage'>,
  key: RunKey,
  { after, maxBatches }: { after: number; maxBatches: number },
): Promise<RunEvent[]> {
  const events: RunEvent[] = []
  while (true) {
    const batches = await storage.eventLog.read(key, { after: after + events.length, maxBatches })
    if (batches.length === 0) return events
    if (batches.length > maxBatches) throw new Error(`${batches.length} batches for ${maxBatches}`)
    for (const batch of batches) {
      if (batch.firstSeq !== after + events.length + 1) throw new Error(`A batch at ${batch.firstSeq} does not join on`)
      events.push(...batch.events)
    }
  }
}
