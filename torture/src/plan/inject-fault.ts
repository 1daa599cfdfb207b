/** Does to the world what a fault says, and undoes it when its time is over. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { MongoSet } from '../world/mongo-set.ts'
import { rollOver } from '../world/roll-over.ts'
import type { World } from '../world/world.ts'
import type { FailHow, Fault, NodeChoice } from './plan.ts'

/** Resolves when the fault is over. */
export async function injectFault(world: World, fault: Fault, moveClients: () => void): Promise<void> {
  switch (fault.kind) {
    case 'server-kill':
      await world.server(fault.server).kill()
      await sleep(fault.backAfterMs)
      return await world.server(fault.server).start()
    case 'server-term':
      await world.server(fault.server).terminate()
      await sleep(fault.backAfterMs)
      return await world.server(fault.server).start()
    case 'server-hang':
      world.server(fault.server).hang()
      await sleep(fault.forMs)
      return world.server(fault.server).wake()
    case 'server-block':
      return world.server(fault.server).block(fault.forMs)
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
    case 'mongod-disk-full':
      return await endMongod(world.mongo, fault)
    case 'mongod-hang': {
      const node = await nodeOf(world.mongo, fault.node)
      await world.mongo.hang(node)
      await sleep(fault.forMs)
      return await world.mongo.wake(node)
    }
    case 'history-lost':
      world.server(fault.server).hang()
      await rollOver(world)
      world.server(fault.server).wake()
      if ((await world.db.collection('runs').countDocuments({ status: 'running' })) === 0)
        throw new Error('Nothing is left to follow')
      return world.server(fault.server + 1).front.cut()
    case 'step-down':
      return await world.mongo.stepDown()
    case 'lose-unreplicated':
      return await loseUnreplicated(world.mongo, fault)
    case 'fail-commands':
      return await failCommands(world.mongo, fault)
  }
}

type WireFault = Extract<Fault, { kind: `front-${string}` | `back-${string}` }>

async function injectWireFault(world: World, fault: WireFault): Promise<void> {
  const { front, back } = world.server(fault.server)
  const proxy = fault.kind.startsWith('front') ? front : back
  if (proxy === undefined) return
  switch (fault.kind) {
    case 'front-cut':
    case 'back-cut':
      return proxy.cut()
    case 'front-blackhole':
    case 'back-blackhole':
      proxy.blackhole(true)
      await sleep(fault.forMs)
      return proxy.blackhole(false)
    case 'front-delay':
    case 'back-delay':
      proxy.delay(fault.delayMs)
      await sleep(fault.forMs)
      return proxy.delay(0)
  }
}

async function endMongod(
  mongo: MongoSet,
  { kind, node: choice, backAfterMs }: Extract<Fault, { kind: 'mongod-kill' | 'mongod-abort' | 'mongod-disk-full' }>,
): Promise<void> {
  const node = await nodeOf(mongo, choice)
  if (kind === 'mongod-disk-full') await mongo.fillDisk(node)
  else await mongo.kill(node, kind === 'mongod-kill' ? 'SIGKILL' : 'SIGABRT')
  await sleep(backAfterMs)
  return await mongo.restart(node)
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
  await sleep(backAfterMs) // the others elect one of them: what only the dead one had is rolled back when it returns
  await mongo.restart(primary)
}

async function nodeOf(mongo: MongoSet, choice: NodeChoice): Promise<number> {
  const primary = await mongo.primary()
  return choice === 'primary' ? primary : (primary + 1) % mongo.nodes
}

async function failCommands(
  mongo: MongoSet,
  { how, commands, times }: { how: FailHow; commands: readonly string[]; times: number },
): Promise<void> {
  const failCommands_ = [...commands]
  switch (how.type) {
    case 'close':
      return await mongo.fail('failCommand', { times }, { failCommands: failCommands_, closeConnection: true })
    case 'code':
      return await mongo.fail('failCommand', { times }, { failCommands: failCommands_, errorCode: how.code })
    case 'write-concern': {
      const writeConcernError = { code: how.code, codeName: 'Injected', errmsg: 'injected' }
      return await mongo.fail('failCommand', { times }, { failCommands: failCommands_, writeConcernError })
    }
    case 'block': {
      const block = { blockConnection: true, blockTimeMS: how.ms }
      return await mongo.fail('failCommand', { times }, { failCommands: failCommands_, ...block })
    }
    case 'applied-then-cut':
      return await mongo.fail('onPrimaryTransactionalWrite', { times }, { closeConnection: true })
  }
}
