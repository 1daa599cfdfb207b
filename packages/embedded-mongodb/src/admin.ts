import { MongoClient, MongoServerError, type Db } from 'mongodb'
import { isListening } from './free-port.ts'
import { pollUntil } from './poll-until.ts'

/** Runs `use` against the admin database of the one server on this port, whatever its replica set thinks. */
export async function withAdmin<TResult>(port: number, use: (admin: Db) => Promise<TResult>): Promise<TResult> {
  const client = new MongoClient(`mongodb://127.0.0.1:${port}/`, {
    directConnection: true,
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

/** The data folder of the mongod on this port; undefined when no mongod that would tell us is there. */
export async function dbPathServedAt(port: number): Promise<string | undefined> {
  if (!(await isListening(port))) return undefined
  // Not a mongod, or one that wants a password: in either case not ours.
  const options = await withAdmin(port, async (admin) => await admin.command({ getCmdLineOpts: 1 })).catch(
    () => undefined,
  )
  const path: unknown = options?.['parsed']?.storage?.dbPath
  return typeof path === 'string' ? path : undefined
}

/** Codes of the server that mean "ask again", not "no". */
const notYetInitialized = 94
const alreadyInitialized = 23

/** Makes the server a replica set of one at this very address, and waits until it is its primary. */
export async function becomePrimary(port: number, replicaSet: string, signal: AbortSignal): Promise<void> {
  const host = `127.0.0.1:${port}`
  await withAdmin(port, async (admin) => {
    await pollUntil(async () => await isPrimary(admin, replicaSet, host), { signal })
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
    // The folder was last served on another port. Forced, since a set whose only member has moved has no primary to ask.
    await admin.command({ replSetReconfig: { ...config, members, version: config.version + 1 }, force: true })
    return undefined
  }
  const hello = await admin.command({ hello: 1 })
  return hello['isWritablePrimary'] === true ? true : undefined
}

/** What `replSetGetConfig` answers, as far as we use it. */
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
