/** Everything that faults can hit: MongoDB, two server processes, a provider and their connections. Plans share one world. */
import type { Db } from 'mongodb'
import { TcpProxy } from '@verbatim/test-kit/http'
import type { Leases, ServerConfig } from '../server/server-config.ts'
import { MongoSet } from './mongo-set.ts'
import { ProviderProcess } from './provider-process.ts'
import { ServerProcess } from './server-process.ts'
import { ServerSlot } from './server-slot.ts'
import type { ServerExit, SpecialStart } from './server-slot.ts'

export type ProfileName = 'short' | 'patient' | 'archiving'

interface Profile {
  readonly leases: Leases
  readonly archiveDelayMs: number
}

const short = { heartbeatMs: 250, selfFenceMs: 1_000, leaseMs: 1_500, recoveryMs: 200, pollMs: 250 }

/** Settings of the servers: leases that expire soon, leases that outlive a short fault, and archives during the plan. */
const profiles: Readonly<Record<ProfileName, Profile>> = {
  short: { leases: short, archiveDelayMs: 60_000 },
  archiving: { leases: short, archiveDelayMs: 100 },
  patient: {
    // A heartbeat may take as long as its interval: MongoDB is slow on a busy machine.
    leases: { heartbeatMs: 2_000, selfFenceMs: 8_000, leaseMs: 9_000, recoveryMs: 200, pollMs: 250 },
    archiveDelayMs: 60_000,
  },
}

/** What a world has that others do not. */
export interface WorldOptions {
  readonly oplogSizeMB?: number | undefined
  /** Servers learn of what the others write by polls alone. @default false */
  readonly withoutChangeStreams?: boolean | undefined
  /** Servers give each other hints. @default false */
  readonly peerHints?: boolean | undefined
}

export class World implements AsyncDisposable {
  readonly mongo: MongoSet
  readonly servers: readonly ServerSlot[]
  readonly databaseName = 'torture'
  /** Exits of servers that stopped on request, without another fault. */
  readonly exits: ServerExit[] = []
  readonly #provider: ProviderProcess
  readonly #options: WorldOptions
  #profile: ProfileName = 'short'
  #graceMs = 300
  #spare: ServerProcess | undefined
  #isClosing = false

  private constructor(mongo: MongoSet, provider: ProviderProcess, options: WorldOptions) {
    this.mongo = mongo
    this.#options = options
    this.#provider = provider
    const deps = {
      spare: () => this.#takeSpare(),
      config: () => this.#config(),
      onExit: (how: ServerExit) => void this.exits.push(how),
    }
    this.servers = [new ServerSlot(deps), new ServerSlot(deps)]
  }

  static async open(nodes: 1 | 3, options: WorldOptions = {}): Promise<World> {
    const mongo = await MongoSet.start(nodes, options.oplogSizeMB)
    const world = new World(mongo, await ProviderProcess.start(), options)
    for (const slot of world.servers) {
      slot.front = await TcpProxy.start(() => slot.targets)
      if (nodes === 1) slot.back = await TcpProxy.start(() => [mongo.portOf(0)])
    }
    await world.startServers()
    return world
  }

  get db(): Db {
    return this.mongo.client.db(this.databaseName)
  }

  get leases(): Leases {
    return profiles[this.#profile].leases
  }

  server(index: number): ServerSlot {
    const slot = this.servers[index % this.servers.length]
    if (slot === undefined) throw new Error('No servers')
    return slot
  }

  async startServers(specials: readonly SpecialStart[] = []): Promise<void> {
    await Promise.all(this.servers.map(async (slot, at) => await slot.start(specials[at])))
  }

  /** Replaces the servers if they run with another profile. */
  async use(profile: ProfileName, graceMs: number): Promise<void> {
    const isSame = profile === this.#profile
    this.#graceMs = graceMs
    for (const slot of this.servers) slot.send({ type: 'grace', ms: graceMs })
    if (isSame) return
    this.#profile = profile
    await this.restartServers()
  }

  /** Kills the servers and starts new ones. @param specials settings of single servers */
  async restartServers(specials: readonly SpecialStart[] = []): Promise<void> {
    await Promise.all(this.servers.map(async (slot) => await slot.kill()))
    await this.startServers(specials)
  }

  /** Makes everything run again: MongoDB first, since servers need it to start. */
  async heal(): Promise<void> {
    for (const { front, back } of this.servers) {
      front.heal()
      back?.heal()
    }
    await this.mongo.heal()
    for (const slot of this.servers) slot.wake()
    await this.startServers()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosing = true
    await Promise.all(this.servers.map(async (slot) => await slot.kill()))
    await this.#spare?.kill()
    for (const { front, back } of this.servers) {
      await front[Symbol.asyncDispose]()
      await back?.[Symbol.asyncDispose]()
    }
    await this.#provider[Symbol.asyncDispose]()
    await this.mongo[Symbol.asyncDispose]()
  }

  #takeSpare(): ServerProcess {
    const taken = this.#spare?.isRunning === true ? this.#spare : ServerProcess.spawn()
    this.#spare = this.#isClosing ? undefined : ServerProcess.spawn()
    return taken
  }

  #config(): ServerConfig {
    return {
      mongoUri: this.mongo.uri,
      databaseName: this.databaseName,
      providerUrl: this.#provider.url,
      ...profiles[this.#profile],
      withoutChangeStreams: this.#options.withoutChangeStreams ?? false,
      peerSecret: this.#options.peerHints === true ? 'the secret of the servers that the torture starts' : null,
      graceMs: this.#graceMs,
      clockSkewMs: 0,
      crashAt: null,
    }
  }
}
