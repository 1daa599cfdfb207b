/** A write that fails as a whole comes from the driver as a bulk error without a word on single documents: it is not stored. */
import { ownerOf } from '@verbatim/core'
import { openTestDatabase } from '@verbatim/core/testing'
import type { Document } from 'mongodb'
import { expect, inject, test } from 'vitest'
import { holdFailPoint } from '../support/fail-point.ts'

const ada = ownerOf({ userId: 'ada', tenantId: 'default', scopes: [] })
const appName = `cuts-${crypto.randomUUID().slice(0, 8)}`

const faults: [string, Document][] = [
  ['a connection that is cut', { closeConnection: true }],
  ['an election', { errorCode: 189 }],
  ['a shutdown', { errorCode: 91 }],
  ['a majority that does not answer', { writeConcernError: { code: 64, errmsg: 'injected' } }],
]

test.each(faults)('an append survives %s', async (_name, fault) => {
  const uri = new URL(inject('mongoUri'))
  uri.searchParams.set('appName', appName)
  await using database = await openTestDatabase(String(uri))
  const { eventLog } = database.storage
  const key = eventLog.keyOf(ada, crypto.randomUUID())
  const entry = {
    key,
    owner: ada,
    firstSeq: 1,
    batchId: crypto.randomUUID(),
    events: [{ type: 'message_stop' as const }],
  }
  await using failPoint = await holdFailPoint()
  // More often than the driver tries by itself.
  await failPoint.set(5, { failCommands: ['insert'], appName, ...fault })

  const outcomes = await eventLog.append([entry], { signal: AbortSignal.timeout(20_000) })

  expect(outcomes).toEqual(['stored'])
  expect(await eventLog.read(key, { after: 0, maxBatches: 10 })).toEqual([{ firstSeq: 1, events: entry.events }])
})
