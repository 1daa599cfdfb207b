/** MongoDB as the engine's storage. */
export { createAppendClient, createMongoClient, createWatchClient } from './driver/connect.ts'
export type { DeletionReceipt } from './principals/delete-again.ts'
export { createMongoStorage, type MongoStorage, type MongoStorageInput } from './storage.ts'
