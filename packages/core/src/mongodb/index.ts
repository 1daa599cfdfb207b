/** MongoDB as the engine's storage. */
export { createMongoClient, createWatchClient } from './driver/connect.ts'
export { createMongoStorage, type MongoStorage, type MongoStorageInput } from './storage.ts'
/** @internal For the test that drives every row. */
export { transitions, type Transition, type TransitionName, type Written } from './transitions/state-table.ts'
