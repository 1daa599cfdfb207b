import { MongoClient, MongoServerError, type Db } from 'mongodb'
import { pollUntil } from './poll-until.ts'
import { isListening, uriOf } from './server-address.ts'
import type { ServerAddress } from './server-address.ts'

/** Runs `use` on the admin database of the server at this address, whatever the state of its replica set. */
export async function withAdmin<TResult>(
  address: ServerAddress,
  use: (admin: Db) => Promise<TResult>,
): Promise<TResult> {
  const client = new MongoClient(uriOf(address), {
    serverSelectionTimeoutMS: 2000,
    connectTimeoutMS: 2000,
    socketTimeoutMS: 20_000,
    minPoolSize: 0,
  })
  try {
    return await use(client.db('admin'))
  } finally {
    await client.close()
  }
}

/** The data folder of the mongod at this address; undefined when none answers. */
export async function dbPathServedAt(address: ServerAddress): Promise<string | undefined> {
  if (!(await isListening(address))) return undefined
  // Not a mongod, or one with a password: not a server of this package.
  const options = await withAdmin(address, async (admin) => await admin.command({ getCmdLineOpts: 1 })).catch(
    () => undefined,
  )
  const path: unknown = options?.['parsed']?.storage?.dbPath
  return typeof path === 'string' ? path : undefined
}

/** The server's codes for "ask again". */
const notYetInitialized = 94
const alreadyInitialized = 23

/** Makes the server a replica set of one at this address, and waits until it is primary. */
export async function becomePrimary(address: ServerAddress, replicaSet: string, signal: AbortSignal): Promise<void> {
  await withAdmin(address, async (admin) => {
    await pollUntil(async () => await isPrimary(admin, replicaSet, address), { signal })
  })
}

async function isPrimary(admin: Db, replicaSet: string, host: string): Promise<true | undefined> {
  const config = await replicaSetConfig(admin)
  const members = [{ _id: 0, host }]
  if (config === undefined) {
    await admin.command({ replSetInitiate: { _id: replicaSet, members } }).catch(ignoreCode(alreadyInitialized))
    return undefined
  }
  if (config.members.length !== 1 || config.members[0]?.host !== host) {
    // The folder's last server had another address. Forced: a set whose only member has moved has no primary.
    await admin.command({ replSetReconfig: { ...config, members, version: config.version + 1 }, force: true })
    return undefined
  }
  const hello = await admin.command({ hello: 1 })
  return hello['isWritablePrimary'] === true ? true : undefined
}

/** The used part of `replSetGetConfig`'s answer. */
type ReplicaSetConfig = Readonly<{ _id: string; version: number; members: readonly { host: string }[] }>

async function replicaSetConfig(admin: Db): Promise<ReplicaSetConfig | undefined> {
  const answer = await admin.command({ replSetGetConfig: 1 }).catch(ignoreCode(notYetInitialized))
  // The server's own document: its shape is part of MongoDB's stable commands.
  return answer?.['config'] as ReplicaSetConfig | undefined
}

function ignoreCode(code: number): (error: unknown) => undefined {
  return (error) => {
    if (error instanceof MongoServerError && error.code === code) return undefined
    throw error
  }
}
