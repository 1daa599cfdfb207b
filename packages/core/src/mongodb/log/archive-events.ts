import { isTerminalEvent } from '../../contract/event.ts'
import type { RunKey } from '../../ports/event-log.ts'
import type { ArchiveDocument, Collections } from '../schema/collections.ts'
import { countOf, isSealed } from '../schema/stored-json.ts'
import type { StoredItem } from '../schema/stored-json.ts'
import { requireKnown } from '../schema/version.ts'
import { isOnlyDuplicates } from '../driver/map-error.ts'

/**
 * A part is what a follower reads at once, and holds while its reader takes it: most answers are one part, and a reader that
 * does not read costs little. A batch that is longer is a part of its own.
 */
const maxPartBytes = 256 * 1024

/**
 * One attempt. The archive is whole before the log is emptied, so a reader that misses an entry finds it there. Two attempts
 * at once make the same parts, because the log of an ended run does not change. Sealed events move as they are: no key is needed.
 */
export async function archiveEvents(
  { runEvents, runArchives }: Collections,
  key: RunKey,
  { expiresAt }: { expiresAt: Date },
): Promise<void> {
  const ofRun = entriesOf(key)
  const parts: ArchiveDocument[] = []
  const add = createPartBuilder(parts, (n) => ({ _id: { r: key, n }, e: [], expiresAt }))
  for await (const entry of runEvents.find(ofRun).sort({ _id: 1 })) {
    requireKnown(entry)
    // A hole: another process has begun to empty the log.
    if (!add(entry._id.n, entry.e)) break
  }
  if (endsTerminal(parts.at(-1))) await runArchives.insertMany(parts, { ordered: false }).catch(ignoreDuplicates)
  const [lastEntry] = await runEvents.find(ofRun).sort({ _id: -1 }).limit(1).toArray()
  // Deleted meanwhile. The log is stripped before its archive is removed, so a part that came too late is removed here.
  if (lastEntry?.e.length === 0) return void (await runArchives.deleteMany(ofRun))
  const [lastPart] = await runArchives.find(ofRun).sort({ _id: -1 }).limit(1).toArray()
  if (!endsTerminal(lastPart)) throw new Error('The log of an ended run has a hole; it is left as it is')
  if (lastEntry === undefined) return
  // The keys that a zombie runs into stay: the last entry's, and each `run_resumed`, which stands where the process before would go on.
  await runEvents.deleteMany({ ...entriesOf(key, lastEntry._id.n), 'e.type': { $ne: 'run_resumed' } })
}

/** A filter for what is stored of a run's events under seqs below `before`. */
export function entriesOf(key: RunKey, before: number = Number.MAX_SAFE_INTEGER) {
  return { _id: { $gt: { r: key, n: 0 }, $lt: { r: key, n: before } } }
}

/** Adds entries to the last part, or a new one when it is full; answers whether the entry joined on. */
function createPartBuilder(parts: ArchiveDocument[], newPart: (firstSeq: number) => ArchiveDocument) {
  let nextSeq = 1
  let bytes = 0
  return (firstSeq: number, items: readonly StoredItem[]): boolean => {
    if (firstSeq !== nextSeq) return false
    const added = items.reduce((sum, item) => sum + sizeOf(item), 0)
    if (parts.length === 0 || bytes + added > maxPartBytes) {
      parts.push(newPart(firstSeq))
      bytes = 0
    }
    parts.at(-1)?.e.push(...items)
    bytes += added
    nextSeq += countOf(items)
    return true
  }
}

function sizeOf(item: StoredItem): number {
  if (!isSealed(item)) return JSON.stringify(item).length
  return item.data instanceof Uint8Array ? item.data.byteLength : item.data.length()
}

function endsTerminal(part: ArchiveDocument | undefined): boolean {
  const last = part?.e.at(-1)
  return last !== undefined && !isSealed(last) && isTerminalEvent(last)
}

function ignoreDuplicates(error: unknown): void {
  if (!isOnlyDuplicates(error)) throw error
}
