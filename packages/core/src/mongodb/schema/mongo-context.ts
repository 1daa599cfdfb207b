import type { MongoClient } from 'mongodb'
import type { AttachmentStore } from '../../ports/attachment-store.ts'
import type { Clock } from '../../ports/clock.ts'
import type { TransactionGroups } from '../driver/group-transactions.ts'
import type { AuditListeners } from './audit-rows.ts'
import type { Collections } from './collections.ts'
import type { ContentCipher } from './content-cipher.ts'

/** What the repositories work with. */
export interface MongoContext {
  readonly client: MongoClient
  readonly collections: Collections
  readonly clock: Clock
  readonly audit: AuditListeners
  readonly cipher: ContentCipher
  /** Where the bytes of attachments are. */
  readonly attachmentStore: AttachmentStore
  /** Transitions of one kind that wait go into one transaction. */
  readonly starts: TransactionGroups
  readonly ends: TransactionGroups
}
