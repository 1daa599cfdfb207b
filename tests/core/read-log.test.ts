/** How much of a log is read at once: what a follower holds while its reader takes it. */
import { ownerOf } from '@verbatim/core'
import type { EventBatch, RunEvent } from '@verbatim/core'
import { expect, it } from 'vitest'
import { openDatabase } from '../support/engine.ts'
import { noMetrics } from '../support/metrics.ts'

const { signal } = new AbortController()
const kilobyte = 1024

function say(kilobytes: number): RunEvent {
  return {
    type: 'content_block_delta',
    index: 0,
    delta: { type: 'text_delta', text: 'x'.repeat(kilobytes * kilobyte) },
  }
}

/** Ends the log; a run that was cancelled in the queue has no figures. */
const end: RunEvent = { type: 'run_cancelled', messageId: null, metrics: noMetrics }

/** A log with one batch for each of `sizes`, in kilobytes, and the end. */
async function openLog(sizes: readonly number[]) {
  const database = await openDatabase()
  const { eventLog } = database.storage
  const owner = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
  const key = eventLog.keyOf(owner, crypto.randomUUID())
  const events = [...sizes.map(say), end]
  const entries = events.map((event, at) => ({ key, owner, firstSeq: at + 1, batchId: `batch ${at}`, events: [event] }))
  await eventLog.append(entries, { signal })
  return { database, eventLog, key, events }
}

it('a read of the log stops before the batch that would exceed its limit and always returns one', async () => {
  const { database, eventLog, key } = await openLog([100, 100, 100, 400, 1])
  await using _database = database
  const seqsAfter = async (after: number) =>
    (await eventLog.read(key, { after, maxBatches: 10, maxBytes: 250 * kilobyte })).map(({ firstSeq }) => firstSeq)
  expect(await seqsAfter(0)).toEqual([1, 2])
  expect(await seqsAfter(2)).toEqual([3])
  expect(await seqsAfter(3)).toEqual([4])
  expect(await seqsAfter(4)).toEqual([5, 6])
})

it('a read of an archive returns all of the run in parts no longer than a read of the log', async () => {
  const { database, eventLog, key, events } = await openLog([100, 100, 100, 400, 1])
  await using _database = database
  await eventLog.archive([key], { expiresAt: new Date('2999-01-01') })
  const looks: EventBatch[][] = []
  for (let after = 0; after < events.length;) {
    const look = await eventLog.read(key, { after, maxBatches: 10, maxBytes: 256 * kilobyte })
    looks.push(look)
    after += look.flatMap((batch) => batch.events).length
  }
  expect(looks.flat().flatMap((batch) => batch.events)).toEqual(events)
  expect(looks.map((look) => look.flatMap((batch) => batch.events).length)).toEqual([2, 1, 1, 2])
})
