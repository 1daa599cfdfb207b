import { MongoClient, ReadConcern } from 'mongodb'
import type { DbOptions, MongoClientOptions } from 'mongodb'

/**
 * Settings used where the caller's URI does not set them. With the driver's own, a hung primary stalls everything for 30 to
 * 40 s; with these, for about one election (measured: 11 s). Polling finds a hung server where streaming does not.
 */
const tunedSettings = {
  connectTimeoutMS: 2_000,
  heartbeatFrequencyMS: 2_000,
  serverMonitoringMode: 'poll',
  serverSelectionTimeoutMS: 5_000,
  maxPoolSize: 100,
  appName: 'verbatim',
} as const satisfies MongoClientOptions

/** What is promised to users does not hold with weaker settings, so a URI cannot change these. */
const requiredSettings = {
  writeConcern: { w: 'majority' },
  readConcern: { level: 'majority' },
  readPreference: 'primary',
  retryWrites: true,
  retryReads: true,
  // With `true`, a filter `{ owner: undefined }` would match every document.
  ignoreUndefined: false,
} as const satisfies MongoClientOptions

/** Databases and collections opened from a borrowed client must use these too. */
export const databaseSettings = {
  writeConcern: requiredSettings.writeConcern,
  readConcern: new ReadConcern('majority'),
  readPreference: requiredSettings.readPreference,
  ignoreUndefined: requiredSettings.ignoreUndefined,
} as const satisfies DbOptions

/** The settings that {@link createMongoClient} makes for `uri`, because it does not make them itself. */
export function tunedSettingsOf(uri: string): Readonly<Record<string, string | number>> {
  const given = new Set([...new URLSearchParams(uri.split('?')[1] ?? '').keys()].map((key) => key.toLowerCase()))
  return Object.fromEntries(Object.entries(tunedSettings).filter(([key]) => !given.has(key.toLowerCase())))
}

/**
 * A client with Verbatim's settings, not yet connected. The caller closes it.
 *
 * @param uri a MongoDB connection string; what it sets itself is kept, but for write and read concern, `readPreference`, `retryWrites` and `retryReads`.
 */
export function createMongoClient(
  uri: string,
  options: { maxPoolSize?: number; serverSelectionTimeoutMs?: number } = {},
): MongoClient {
  return new MongoClient(uri, {
    ...tunedSettingsOf(uri),
    ...requiredSettings,
    ...(options.maxPoolSize === undefined ? {} : { maxPoolSize: options.maxPoolSize }),
    ...(options.serverSelectionTimeoutMs === undefined
      ? {}
      : { serverSelectionTimeoutMS: options.serverSelectionTimeoutMs }),
  })
}

/**
 * A client for the writes of the run log alone, without the driver's retries. The log's own retries know an entry that has landed by its
 * key, and a write that the driver may retry costs MongoDB 150 bytes of its oplog for each entry, and a third of its time.
 */
export function createAppendClient(uri: string): MongoClient {
  return new MongoClient(uri, { ...tunedSettingsOf(uri), ...requiredSettings, retryWrites: false, maxPoolSize: 4 })
}

/**
 * A client for the change stream alone. The driver's resume waits for a dead server as long as its client selects servers,
 * so this one gives up early and the watcher opens the stream anew.
 */
export function createWatchClient(uri: string): MongoClient {
  return createMongoClient(uri, { maxPoolSize: 2, serverSelectionTimeoutMs: 2_000 })
}
