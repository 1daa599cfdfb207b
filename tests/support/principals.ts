/** Taking a principal's data out, and finding what is left of it. */
import type { ExportLine, Owner } from '@verbatim/core'
import type { Engine, ErasureStep, PrincipalRepository } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { collectionsWith, dbOf } from './deleted.ts'
import { waitOptions } from './follow.ts'

export async function exportOf(engine: Engine, owner: Owner): Promise<ExportLine[]> {
  const lines: ExportLine[] = []
  for await (const line of engine.principals.export(owner)) lines.push(line)
  return lines
}

/** The lines of one type. */
export function linesOf<TType extends ExportLine['type']>(lines: readonly ExportLine[], type: TType) {
  return lines.filter((line): line is Extract<ExportLine, { type: TType }> => line.type === type)
}

/** Takes steps of an erasure until it is done, as the sweepers do, with next to no wait for late writes. */
export async function eraseNow(
  repository: PrincipalRepository,
  owner: Owner,
  { id = crypto.randomUUID(), requestedBy = owner }: { id?: string; requestedBy?: Owner } = {},
) {
  const { key, erasure } = await repository.beginErasure(owner, { id, requestedBy })
  const signal = AbortSignal.timeout(waitOptions.timeout)
  let step: ErasureStep | undefined
  do {
    step = await repository.erase(key, { lateWriteGraceMs: 1, onRemoved: () => Promise.resolve(), signal })
    await new Promise((resolve) => setTimeout(resolve, 2)) // the grace
  } while (step?.nextMs !== undefined)
  return (await repository.beginErasure(owner, { id: erasure.id, requestedBy })).erasure
}

/** The collections in which a document holds one of `texts`. */
export async function leftOf(database: TestDatabase, texts: readonly string[]): Promise<string[]> {
  const found = await Promise.all(texts.map((text) => collectionsWith(database, text)))
  return [...new Set(found.flat())]
}

/** All documents that have `owner` in their fields, by collection; without those, and the time, of the audit. */
export async function documentsOf(database: TestDatabase, { tenantId, ownerId }: Owner) {
  const db = dbOf(database)
  const sessions = await db.collection('sessions').find({ tenantId, ownerId }).sort({ _id: 1 }).toArray()
  const keys = sessions.map((session) => session._id)
  const runs = await db
    .collection('runs')
    .find({ tenantId, ownerId }, { projection: { lease: 0 } })
    .toArray()
  const messages = await db
    .collection('messages')
    .find({ s: { $in: keys } })
    .sort({ _id: 1 })
    .toArray()
  const ofRuns = { '_id.r': { $in: runs.map((run) => run._id) } }
  const events = await db.collection('run_events').find(ofRuns).sort({ _id: 1 }).toArray()
  return { sessions, messages, runs, events, archives: await db.collection('run_archives').find(ofRuns).toArray() }
}
