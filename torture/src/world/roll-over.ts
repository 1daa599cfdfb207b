import { setTimeout as sleep } from 'node:timers/promises'
import { MongoServerError } from 'mongodb'
import type { ResumeToken } from 'mongodb'
import type { World } from './world.ts'

/** MongoDB's code for a change stream that cannot go on: what it has not read is not kept any more. */
const changeStreamHistoryLost = 286
const megabytesAtOnce = 8
/** Far past what the log may hold; it is cut once a minute. */
const fillingMegabytes = 320
const withinMs = 100_000

/** Writes until MongoDB's oplog has forgotten where it was, and proves it by asking for that place: about a minute. */
export async function rollOver(world: World): Promise<void> {
  const filler = world.mongo.client.db('torture_filler').collection('filler')
  const place = await placeNow(world)
  const blob = Buffer.alloc(1024 * 1024)
  const deadline = performance.now() + withinMs
  for (let megabytes = 0; performance.now() < deadline; megabytes += megabytesAtOnce) {
    if (megabytes < fillingMegabytes) await filler.insertMany(Array.from({ length: megabytesAtOnce }, () => ({ blob })))
    else await sleep(500)
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
  await using stream = world.db.watch([], { startAfter: place, maxAwaitTimeMS: 1 })
  try {
    await stream.tryNext()
    return false
  } catch (error) {
    if (error instanceof MongoServerError && error.code === changeStreamHistoryLost) return true
    throw error
  }
}
