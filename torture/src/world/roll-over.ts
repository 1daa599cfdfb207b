import { MongoServerError } from 'mongodb'
import type { ResumeToken } from 'mongodb'
import type { World } from './world.ts'

/** MongoDB's code for a change stream that cannot go on: what it has not read is not kept any more. */
const changeStreamHistoryLost = 286
const megabytesAtOnce = 8
const maxMegabytes = 2_000

/** Writes until MongoDB's oplog has forgotten where it was, and proves it by asking for that place. @throws when it never forgets */
export async function rollOver(world: World): Promise<void> {
  const filler = world.mongo.client.db('torture_filler').collection('filler')
  const place = await placeNow(world)
  const blob = Buffer.alloc(1024 * 1024)
  for (let megabytes = 0; megabytes < maxMegabytes; megabytes += megabytesAtOnce) {
    await filler.insertMany(Array.from({ length: megabytesAtOnce }, () => ({ blob })))
    if (await isForgotten(world, place)) return void (await filler.drop())
  }
  throw new Error('The oplog keeps everything')
}

async function placeNow(world: World): Promise<ResumeToken> {
  await using stream = world.db.watch()
  await stream.tryNext()
  return stream.resumeToken
}

async function isForgotten(world: World, place: ResumeToken): Promise<boolean> {
  await using stream = world.db.watch([], { startAfter: place })
  try {
    await stream.tryNext()
    return false
  } catch (error) {
    if (error instanceof MongoServerError && error.code === changeStreamHistoryLost) return true
    throw error
  }
}
