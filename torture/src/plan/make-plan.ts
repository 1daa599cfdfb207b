/** Makes a plan from a seed. The same seed makes the same plan; how it runs depends on the machine. */
import type { Random } from '../random.ts'
import { createRandom } from '../random.ts'
import type { PromptSpec, ProviderFault } from '../prompt.ts'
import type { ProfileName } from '../world/world.ts'
import { inlineAgentId, isDeadly } from './plan.ts'
import type { CancelPlan, FailHow, Fault, FaultPlan, Plan, ReaderPlan, SessionPlan, TurnPlan } from './plan.ts'

export interface PlanOptions {
  readonly seed: number
  readonly nodes: 1 | 3
}

/** Faults come within this time from the plan's start, in milliseconds. */
const faultWindowMs = 1_100

const readerTypes = ['raw', 'raw', 'raw', 'sdk', 'sdk', 'ai-sdk'] as const

const startStyles = ['repeated', 'repeated', 'duplicate', 'answer_lost', 'abandoned', 'sdk', 'sdk'] as const

export function makePlan({ seed, nodes }: PlanOptions): Plan {
  const random = createRandom(seed)
  const sessions = Array.from({ length: random.int(2, 4) }, (_, at) => makeSession(seed, random.fork(`session-${at}`)))
  const faults = makeFaults(random.fork('faults'), nodes)
  return {
    name: 'random',
    seed,
    profile: pickProfile(random, faults),
    graceMs: random.pick([0, 50, 2_000]),
    sessions,
    faultsFrom: 'start',
    faults,
    hostileCalls: makeHostile(random.fork('hostile')),
  }
}

/** One plan in five has a hostile caller. */
function makeHostile(random: Random): number {
  return random.chance(0.2) ? random.int(1, 4) : 0
}

function pickProfile(random: Random, faults: readonly FaultPlan[]): ProfileName {
  // Without a deadly fault every run must complete if leases are long enough; with one, long leases cost time.
  const isMild = faults.every((fault) => !isDeadly(fault))
  if (isMild && random.chance(0.6)) return 'patient'
  return random.chance(0.15) ? 'archiving' : 'short'
}

function makeSession(seed: number, random: Random): SessionPlan {
  const overlaps = random.chance(0.4)
  const count = overlaps ? random.int(2, 4) : random.int(1, 2)
  const hasImages = random.fork('images').chance(0.25)
  const turns = Array.from({ length: count }, (_, at) =>
    makeTurn(seed, random.fork(`turn-${at}`), { overlaps, hasImages }),
  )
  return { sessionId: `s-${seed}-${random.uuid().slice(0, 8)}`, turns, overlaps }
}

const whenBusies = ['reject', 'queue', 'queue', 'replace'] as const
const agents = ['seeded', 'continuing', 'claude', inlineAgentId] as const

interface TurnOptions {
  readonly overlaps: boolean
  readonly hasImages: boolean
}

function makeTurn(seed: number, random: Random, { overlaps, hasImages }: TurnOptions): TurnPlan {
  const agentId = random.pick(agents)
  const isClaude = agentId === 'claude'
  const faults: readonly ProviderFault[] = ['none', 'none', 'none', 'none', 'cut', 'error', 'overloaded']
  const prompt: PromptSpec = {
    seed,
    runId: random.uuid(),
    ...random.pick([
      { tokens: 0, paceMs: 0 },
      { tokens: 1, paceMs: 10 },
      { tokens: 600, paceMs: 0 },
      { tokens: random.int(5, 40), paceMs: random.pick([0, 5, 25]) },
      { tokens: random.int(20, 90), paceMs: random.pick([5, 12, 20]) },
      { tokens: random.int(20, 90), paceMs: random.pick([5, 12, 20]) },
    ]),
    fault: isClaude ? random.pick(faults) : 'none',
    imageId: hasImages ? random.fork('image').uuid() : null,
  }
  return {
    prompt,
    agentId,
    start: random.pick(startStyles),
    whenBusy: overlaps ? random.pick(whenBusies) : 'reject',
    delayMs: random.pick([0, 60, random.int(100, 500)]),
    via: random.int(0, 1),
    hangUpAfterMs: random.int(0, 25),
    readers: Array.from({ length: random.int(1, 3) }, (_, at) => makeReader(random.fork(`reader-${at}`))),
    cancel: random.chance(0.2) ? makeCancel(random) : null,
    retryId: !overlaps && random.chance(0.5) ? random.uuid() : null,
  }
}

function makeReader(random: Random): ReaderPlan {
  return {
    type: random.pick(readerTypes),
    via: random.int(0, 1),
    joinAfterMs: random.pick([0, 0, 0, random.int(0, 400), random.int(0, 1_500)]),
    dropEvery: random.pick([0, 0, 1, 2, 5]),
    slowMs: random.pick([0, 0, 0, 10, 60]),
  }
}

function makeCancel(random: Random): CancelPlan {
  return { afterMs: random.int(0, 500), vias: random.pick([[0], [1], [0, 1], [0, 0], [1, 1, 0]]) }
}

type Maker = (random: Random) => Fault

const serverFaults: readonly Maker[] = [
  (random) => ({ kind: 'server-kill', server: random.int(0, 1), backAfterMs: random.int(0, 600) }),
  (random) => ({ kind: 'server-kill', server: random.int(0, 1), backAfterMs: random.int(0, 600) }),
  (random) => ({ kind: 'server-term', server: random.int(0, 1), backAfterMs: random.int(0, 300) }),
  (random) => ({ kind: 'server-hang', server: random.int(0, 1), forMs: random.pick([300, 1_700, 2_100]) }),
  (random) => ({ kind: 'server-block', server: random.int(0, 1), forMs: random.pick([200, 1_200, 1_800]) }),
]

const wireFaults: readonly Maker[] = [
  (random) => ({ kind: 'front-cut', server: random.int(0, 1) }),
  (random) => ({ kind: 'front-cut', server: random.int(0, 1) }),
  (random) => ({ kind: 'front-blackhole', server: random.int(0, 1), forMs: random.int(100, 1_000) }),
  (random) => ({ kind: 'front-delay', server: random.int(0, 1), forMs: 800, delayMs: random.int(5, 120) }),
  () => ({ kind: 'clients-move' }),
]

const backFaults: readonly Maker[] = [
  (random) => ({ kind: 'back-cut', server: random.int(0, 1) }),
  (random) => ({ kind: 'back-cut', server: random.int(0, 1) }),
  (random) => ({ kind: 'back-blackhole', server: random.int(0, 1), forMs: random.pick([200, 1_600]) }),
  (random) => ({ kind: 'back-delay', server: random.int(0, 1), forMs: 700, delayMs: random.int(5, 60) }),
]

const mongoFaults: readonly Maker[] = [
  (random) => ({ kind: 'mongod-kill', node: 'primary', backAfterMs: random.int(0, 300) }),
  (random) => ({ kind: 'mongod-hang', node: 'primary', forMs: random.pick([200, 900, 1_600]) }),
  () => ({ kind: 'step-down' }),
]

const secondaryFaults: readonly Maker[] = [
  (random) => ({ kind: 'mongod-kill', node: 'secondary', backAfterMs: random.int(0, 1_000) }),
  (random) => ({ kind: 'mongod-hang', node: 'secondary', forMs: random.pick([300, 2_500]) }),
]

const writes = ['insert', 'update', 'findAndModify', 'commitTransaction']

const failPoints: readonly Maker[] = [
  (random) => fails(random, { type: 'close' }, [...writes, 'find']),
  (random) => fails(random, { type: 'code', code: random.pick([189, 11_600, 91]) }, writes),
  (random) => fails(random, { type: 'write-concern', code: random.pick([64, 91]) }, writes),
  (random) => fails(random, { type: 'block', ms: random.int(50, 400) }, [...writes, 'find']),
  (random) => fails(random, { type: 'applied-then-cut' }, []),
  (random) => fails(random, { type: 'code', code: random.pick([286, 136, 43]) }, ['getMore', 'aggregate']),
]

function fails(random: Random, how: FailHow, commands: readonly string[]): Fault {
  return { kind: 'fail-commands', how, commands, times: random.pick([1, 2, 3, 8]) }
}

function makeFaults(random: Random, nodes: 1 | 3): FaultPlan[] {
  const families = [serverFaults, serverFaults, wireFaults, failPoints, mongoFaults]
  const all = nodes === 1 ? [...families, backFaults] : [...families, mongoFaults, secondaryFaults]
  // One plan in twelve has no fault.
  const count = random.chance(1 / 12) ? 0 : random.int(1, 4)
  const made = Array.from({ length: count }, () => ({
    atMs: random.int(20, faultWindowMs),
    ...random.pick(random.pick(all))(random),
  }))
  return made.toSorted((a, b) => a.atMs - b.atMs)
}
