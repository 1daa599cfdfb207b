/** Injects a fault into the world, and ends it when its time is over. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Document } from 'mongodb'
import type { MongoSet } from '../world/mongo-set.ts'
import { rollOver } from '../world/roll-over.ts'
import type { World } from '../world/world.ts'
import type { FailHow, Fault, NodeChoice, WireFault } from './plan.ts'

/** Resolves when the fault is over. */
export async function injectFault(world: World, fault: Fault, moveClients: () => void): Promise<void> {
  const { mongo } = world
  switch (fault.kind) {
    case 'server-kill':
    case 'server-term': {
      const server = world.server(fault.server)
      await (fault.kind === 'server-kill' ? server.kill() : server.terminate())
      await sleep(fault.backAfterMs)
      return await server.start()
    }
    case 'server-hang':
      world.server(fault.server).hang()
      await sleep(fault.forMs)
      return world.server(fault.server).wake()
    case 'server-block':
      return world.server(fault.server).send({ type: 'block', ms: fault.forMs })
    case 'clients-move':
      return moveClients()
    case 'front-cut':
    case 'front-blackhole':
    case 'front-delay':
    case 'back-cut':
    case 'back-blackhole':
    case 'back-delay':
      return await injectWireFault(world, fault)
    case 'mongod-kill':
    case 'mongod-abort':
    case 'mongod-disk-full': {
      const node = await nodeOf(mongo, fault.node)
      if (fault.kind === 'mongod-disk-full') await mongo.fillDisk(node)
      else await mongo.kill(node, fault.kind === 'mongod-kill' ? 'SIGKILL' : 'SIGABRT')
      await sleep(fault.backAfterMs)
      return await mongo.restart(node)
    }
    case 'mongod-hang': {
      const node = await nodeOf(mongo, fault.node)
      await mongo.hang(node)
      await sleep(fault.forMs)
      return await mongo.wake(node)
    }
    case 'history-lost':
      return await loseHistory(world, fault.server)
    case 'step-down':
      return await mongo.stepDown()
    case 'lose-unreplicated':
      return await loseUnreplicated(mongo, fault)
    case 'fail-commands':
      return await failCommands(mongo, fault)
  }
}

async function injectWireFault(world: World, fault: WireFault): Promise<void> {
  const { front, back } = world.server(fault.server)
  const proxy = fault.kind.startsWith('front') ? front : back
  if (proxy === undefined) return
  if (!('forMs' in fault)) return proxy.cut()
  if ('delayMs' in fault) proxy.delay(fault.delayMs)
  else proxy.blackhole(true)
  await sleep(fault.forMs)
  if ('delayMs' in fault) proxy.delay(0)
  else proxy.blackhole(false)
}

async function loseHistory(world: World, server: number): Promise<void> {
  world.server(server).hang()
  await rollOver(world)
  world.server(server).wake()
  const running = await world.db.collection('runs').countDocuments({ status: 'running' })
  if (running === 0) throw new Error('No run is left to follow')
  world.server(server + 1).front.cut()
}

async function loseUnreplicated(
  mongo: MongoSet,
  { aloneMs, backAfterMs }: { aloneMs: number; backAfterMs: number },
): Promise<void> {
  const primary = await mongo.primary()
  const secondaries = [1, 2].map((step) => (primary + step) % mongo.nodes)
  await Promise.all(secondaries.map(async (index) => await mongo.hang(index)))
  await sleep(aloneMs)
  await mongo.kill(primary)
  await Promise.all(secondaries.map(async (index) => await mongo.wake(index)))
  await sleep(backAfterMs) // the others elect a primary, so the returning node rolls back what only it has
  await mongo.restart(primary)
}

async function nodeOf(mongo: MongoSet, choice: NodeChoice): Promise<number> {
  const primary = await mongo.primary()
  return choice === 'primary' ? primary : (primary + 1) % mongo.nodes
}

async function failCommands(
  mongo: MongoSet,
  { how, commands, times }: Extract<Fault, { kind: 'fail-commands' }>,
): Promise<void> {
  if (how.type === 'applied-then-cut')
    return await mongo.fail('onPrimaryTransactionalWrite', times, { closeConnection: true })
  await mongo.fail('failCommand', times, { failCommands: commands, ...failureOf(how) })
}

function failureOf(how: Exclude<FailHow, { type: 'applied-then-cut' }>): Document {
  switch (how.type) {
    case 'close':
      return { closeConnection: true }
    case 'code':
      return { errorCode: how.code }
    case 'write-concern':
      return { writeConcernError: { code: how.code, codeName: 'Injected', errmsg: 'injected' } }
    case 'block':
      return { blockConnection: true, blockTimeMS: how.ms }
  }
}
