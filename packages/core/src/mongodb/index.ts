/** MongoDB as the engine's storage. */
export { createMongoClient } from './connect.ts'
export { createMongoStorage, type MongoStorage } from './storage.ts'
