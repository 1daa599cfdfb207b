/** A message names files: from the transaction that stores it on, they live as long as it does. */
import type { ClientSession } from 'mongodb'
import { attachmentIdsOf } from '../../contract/attachment.ts'
import { errorOf, isVerbatimError } from '../../contract/errors.ts'
import type { Owner } from '../../contract/principal.ts'
import { NotCommittedYetError } from '../driver/map-error.ts'
import type { Collections } from '../schema/collections.ts'
import { attachmentKeyOf } from '../schema/owner-keys.ts'
import type { AttachmentKey } from '../schema/owner-keys.ts'
import { majorityBarrier } from '../schema/read-barrier.ts'

/** What a document says of the files that its content names; nothing where it names none. */
export interface NamedAttachments {
  readonly attachments?: readonly AttachmentKey[]
}

export function namedAttachments(owner: Owner, content: readonly unknown[]): NamedAttachments {
  const attachments = attachmentIdsOf(content).map((id) => attachmentKeyOf(owner, id))
  return attachments.length === 0 ? {} : { attachments }
}

/**
 * Takes the files out of the sweep. Always a write, also for files that others name already: of this transaction and one that removes a
 * file, one meets the other.
 *
 * @throws VerbatimError `ATTACHMENT_NOT_FOUND`
 */
export async function bindAttachments(
  collections: Collections,
  { attachments: keys = [] }: NamedAttachments,
  session: ClientSession,
): Promise<void> {
  if (keys.length === 0) return
  if ((await bindFound(collections, { attachments: keys }, session)) < keys.length) {
    throw errorOf('ATTACHMENT_NOT_FOUND')
  }
}

/** Tells whether a file is missing, without a write. */
export async function lacksAttachments(
  { attachments }: Pick<Collections, 'attachments'>,
  { attachments: keys = [] }: NamedAttachments,
  session: ClientSession,
): Promise<boolean> {
  if (keys.length === 0) return false
  return (await attachments.countDocuments({ _id: { $in: [...keys] } }, { session })) < keys.length
}

/** {@link bindAttachments} for a run's end, which a missing file does not prevent. Answers how many there are. */
export async function bindFound(
  { attachments }: Collections,
  { attachments: keys = [] }: NamedAttachments,
  session: ClientSession,
): Promise<number> {
  if (keys.length === 0) return 0
  const binding = { $inc: { bindings: 1 }, $unset: { sweepAt: true } } as const
  return (await attachments.updateMany({ _id: { $in: [...keys] } }, binding, { session })).matchedCount
}

/**
 * For a transaction that found a file missing: directly after an election a read may see less than callers have seen.
 *
 * @throws NotCommittedYetError when all files are there
 */
export async function requireMissing(
  collections: Collections,
  { attachments: keys = [] }: NamedAttachments,
  error: unknown,
): Promise<void> {
  if (!isVerbatimError(error) || error.code !== 'ATTACHMENT_NOT_FOUND') return
  await majorityBarrier(collections)
  const found = await collections.attachments.countDocuments({ _id: { $in: [...keys] } })
  if (found === keys.length) throw new NotCommittedYetError()
}
