/** A cursor inside an entry: the rest of that entry counts, so a reader that asks for so many batches gets no more. */
import { ownerOf } from '@verbatim/core'
import type { RunEvent } from '@verbatim/core'
import { openTestDatabase } from '@verbatim/core/testing'
import { expect, inject, it } from 'vitest'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
const event: RunEvent = { type: 'message_stop' }

it('a read of the log returns at most as many batches as it was asked for, from inside an entry too', async () => {
  await using database = await openTestDatabase(inject('mongoUri'))
  const { eventLog } = database.storage
  const key = eventLog.keyOf(ada, crypto.randomUUID())
  const entryAt = (firstSeq: number, events: RunEvent[]) => ({
    key,
    owner: ada,
    firstSeq,
    batchId: crypto.randomUUID(),
    events,
  })
  const entries = [entryAt(1, [event, event]), entryAt(3, [event]), entryAt(4, [event])]
  await eventLog.append(entries, { signal: AbortSignal.timeout(25_000) })

  const batches = await eventLog.read(key, { after: 1, maxBatches: 2 })

  expect(batches).toEqual([
    { firstSeq: 2, events: [event] },
    { firstSeq: 3, events: [event] },
  ])
})
