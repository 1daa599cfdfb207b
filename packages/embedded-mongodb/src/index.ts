/** A real mongod as a replica set: found, fetched if need be, started, and gone when its parent is gone. */
export { type Environment } from './environment.ts'
export { findMongod, type FindMongodOptions } from './find-mongod.ts'
export { resolveMongoUri, type ResolvedMongo } from './resolve-mongo-uri.ts'
export { startMongod, type EmbeddedMongod, type StartMongodOptions } from './start-mongod.ts'
export {
  startReplicaSet,
  type EmbeddedReplicaSet,
  type ReplicaSetMember,
  type StartReplicaSetOptions,
} from './start-replica-set.ts'
