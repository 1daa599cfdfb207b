import { setTimeout as sleep } from 'node:timers/promises'
import { MongoServerError } from 'mongodb'
import type { ResumeToken } from 'mongodb'
import type { World } from './world.ts'

/** MongoDB's code for a change stream that cannot resume: the oplog no longer holds its resume token. */
const changeStreamHistoryLost = 286
const megabytesAtOnce = 8
/** Far more than the oplog may hold; MongoDB truncates it once a minute. */
const fillingMegabytes = 320
const withinMs = 100_000

/** Writes until the oplog has lost a resume token of now, and proves the loss with a change stream: about a minute. */
export async function rollOver(world: World): Promise<void> {
  const filler = world.mongo.client.db('torture_filler').collection('filler')
  const token = await tokenOfNow(world)
  const blob = Buffer.alloc(1024 * 1024)
  const deadline = performance.now() + withinMs
  for (let megabytes = 0; performance.now() < deadline; megabytes += megabytesAtOnce) {
    if (megabytes < fillingMegabytes) await filler.insertMany(Array.from({ length: megabytesAtOnce }, () => ({ blob })))
    else await sleep(500)
    if (await isLost(world, token)) return void (await filler.drop())
  }
  throw new Error('The oplog did not roll over')
}

async function tokenOfNow(world: World): Promise<ResumeToken> {
  await using stream = world.db.watch()
  await stream.tryNext()
  return stream.resumeToken
}

async function isLost(world: World, token: ResumeToken): Promise<boolean> {
  await using stream = world.db.watch([], { startAfter: token, maxAwaitTimeMS: 1 })
  try {
    await stream.tryNext()
    return false
  } catch (error) {
    if (error instanceof MongoServerError && error.code === changeStreamHistoryLost) return true
    throw error
  }
}
