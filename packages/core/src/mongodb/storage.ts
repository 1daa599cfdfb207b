import type { MongoClient } from 'mongodb'
import type { AgentStates } from '../ports/agent-states.ts'
import type { AttachmentRepository } from '../ports/attachment-repository.ts'
import type { AttachmentStore } from '../ports/attachment-store.ts'
import type { AuditRepository } from '../ports/audit.ts'
import type { Clock } from '../ports/clock.ts'
import type { DeletionRepository } from '../ports/deletion-repository.ts'
import type { EventLog, LogWatcher } from '../ports/event-log.ts'
import type { ContentEncryption, ContentKeys } from '../ports/key-service.ts'
import type { PrincipalRepository } from '../ports/principal-repository.ts'
import type { RunRepository } from '../ports/run-repository.ts'
import type { SessionRepository } from '../ports/session-repository.ts'
import type { SessionStates, SessionWatcher } from '../ports/session-states.ts'
import type { UsageLedger } from '../ports/usage-ledger.ts'
import { createAgentStates } from './agent-states.ts'
import { createAttachmentRepository } from './attachments/attachment-repository.ts'
import { createGridFsStore } from './attachments/gridfs-store.ts'
import { createAuditRepository } from './audit-repository.ts'
import { collectionsOf } from './schema/collections.ts'
import { createContentCipher } from './schema/content-cipher.ts'
import { databaseSettings } from './driver/connect.ts'
import { TransactionGroups } from './driver/group-transactions.ts'
import { createDeletionRepository } from './deletion-repository.ts'
import { deleteAgain } from './principals/delete-again.ts'
import type { DeletionReceipt } from './principals/delete-again.ts'
import { createEventLog } from './log/event-log.ts'
import { createLogWatcher, createSessionWatcher, hasChangeStreams } from './log/watch-changes.ts'
import { migrate } from './schema/migrate.ts'
import type { MongoContext } from './schema/mongo-context.ts'
import { createPrincipalRepository } from './principal-repository.ts'
import { requireSchema } from './schema/require-schema.ts'
import { retryRequest, tryOnce } from './driver/retry.ts'
import { createTurns } from './driver/take-turn.ts'
import { createRunRepository } from './run-repository.ts'
import { createSessionRepository } from './session-repository.ts'
import { createSessionStates } from './session-states.ts'
import { createUsageLedger } from './usage-ledger.ts'

/** Everything the engine needs from a database. */
export interface MongoStorage {
  readonly sessionRepository: SessionRepository
  readonly runRepository: RunRepository
  readonly agentStates: AgentStates
  readonly deletionRepository: DeletionRepository
  readonly attachmentRepository: AttachmentRepository
  readonly auditRepository: AuditRepository
  readonly principalRepository: PrincipalRepository
  readonly usageLedger: UsageLedger
  readonly eventLog: EventLog
  readonly logWatcher: LogWatcher
  readonly sessionStates: SessionStates
  readonly sessionWatcher: SessionWatcher
  readonly contentKeys: ContentKeys
  /** Makes collections and indexes; once, at start. @throws VerbatimError `UNSUPPORTED_DEPLOYMENT`, `UNSUPPORTED_VERSION`, `UNAVAILABLE` */
  migrate(): Promise<void>
  /** Resolves when the database answers and has all collections and indexes. @throws VerbatimError `UNAVAILABLE`, `UNSUPPORTED_DEPLOYMENT` */
  checkReady(signal?: AbortSignal): Promise<void>
  /**
   * False when the database gives this user no change streams, as small tiers of Atlas and some users do not. Then leave the watchers out
   * of the engine's ports: its followers poll. @throws VerbatimError `UNAVAILABLE`
   */
  hasChangeStreams(): Promise<boolean>
  /**
   * After a restore: repeats the deletions and erasures that came after the backup, as the audit had them (rows `session_deleted` and
   * `principal_erased`). Call it before users come back; the sweep of any server then removes the content. Safe to repeat.
   *
   * @returns how many sessions go
   * @throws VerbatimError `UNAVAILABLE`
   */
  deleteAgain(receipts: Iterable<DeletionReceipt>): Promise<number>
}

/** Where {@link createMongoStorage} stores. */
export interface MongoStorageInput {
  /** The caller's, who closes it. */
  readonly client: MongoClient
  /** For the change streams alone, with a short server selection (see `createWatchClient`). @default `client` */
  readonly watchClient?: MongoClient
  /** For the writes of the run log alone, without retries of the driver (see `createAppendClient`). @default `client` */
  readonly appendClient?: MongoClient
  readonly databaseName: string
  readonly clock: Clock
  /** Seals content with a key of its owner. @default content is stored in clear */
  readonly encryption?: ContentEncryption | undefined
  /** Where the bytes of attachments go. @default GridFS in the same database */
  readonly attachmentStore?: AttachmentStore | undefined
}

/** The engine's storage. Write and read concern majority are set here, whatever the clients were made with. */
export function createMongoStorage({
  client,
  watchClient = client,
  appendClient = client,
  databaseName,
  clock,
  encryption,
  attachmentStore,
}: MongoStorageInput): MongoStorage {
  const db = client.db(databaseName, databaseSettings)
  const cipher = createContentCipher(encryption, clock)
  const collections = collectionsOf(db)
  const bytes = attachmentStore ?? createGridFsStore(collections, clock)
  const groups = { starts: new TransactionGroups(client), ends: new TransactionGroups(client) }
  const storage: MongoContext = {
    client,
    clock,
    collections,
    cipher,
    audit: new Set(),
    attachmentStore: bytes,
    ...groups,
  }
  const takeTurn = createTurns()
  const appended = collectionsOf(appendClient.db(databaseName, databaseSettings)).runEvents
  const eventLog = createEventLog(storage, appended)
  const watched = watchClient.db(databaseName, databaseSettings)
  return {
    sessionRepository: createSessionRepository(storage, takeTurn),
    runRepository: createRunRepository(storage, takeTurn),
    agentStates: createAgentStates(storage, takeTurn),
    deletionRepository: createDeletionRepository(storage),
    attachmentRepository: createAttachmentRepository(storage),
    auditRepository: createAuditRepository(storage),
    principalRepository: createPrincipalRepository(storage, eventLog),
    eventLog,
    usageLedger: createUsageLedger(storage),
    logWatcher: createLogWatcher(watched, cipher),
    sessionStates: createSessionStates(storage),
    sessionWatcher: createSessionWatcher(watched),
    contentKeys: { erase: (owner) => cipher.eraseKeys(owner) },
    migrate: () => migrate(db),
    hasChangeStreams: () => tryOnce(() => hasChangeStreams(watched)),
    deleteAgain: (receipts) => deleteAgain(storage, receipts),
    checkReady: (signal) => retryRequest(() => requireSchema(db), signal),
  }
}
