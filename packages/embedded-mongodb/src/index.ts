/** Finds or fetches a real mongod, starts it as a replica set, and ends it when its parent process ends. */
export { type Environment } from './fetch-mongod.ts'
export { findMongod, type FindMongodOptions } from './find-mongod.ts'
export { resolveMongoUri, type ResolvedMongo } from './resolve-mongo-uri.ts'
export { startMongod, type EmbeddedMongod, type StartMongodOptions } from './start-mongod.ts'
export { startReplicaSet, type EmbeddedReplicaSet, type StartReplicaSetOptions } from './start-replica-set.ts'
