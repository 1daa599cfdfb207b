/**
 * Honest users beside one hostile caller: first alone, then beside each attack in turn.
 * In: a database, how long, which attacks. Out: what the users met in each phase, and how the server fared.
 */
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { Agent } from 'node:http'
import { answerOf, startChild } from '../bench/child.ts'
import { hostileUserOf } from './attack.ts'
import type { Attack } from './attack.ts'
import type { AttackEnd, AttackOrder } from './attacker.ts'
import type { DiskProbe } from './disk-probe.ts'
import { runHonestUsers } from './honest-users.ts'
import type { Experience } from './honest-users.ts'
import { chatLimits } from './server-config.ts'
import type { HostileServerConfig, ServerStrain } from './server-config.ts'

export interface Phase extends Experience, ServerStrain, AttackEnd {
  /** The attack's name, or `quiet`. */
  readonly name: string
  /** What the disk took to keep 4 KiB, in milliseconds; empty without a probe. */
  readonly diskMs: readonly number[]
}

export interface PhasesInput {
  readonly server: HostileServerConfig
  readonly attacks: readonly Attack[]
  readonly users: number
  /** Of each attack, times its own `times`. */
  readonly seconds: number
  /** Of the time without an attack; before the first one, and half of it again after the last. */
  readonly quietSeconds: number
  /** Measures the disk of the database. */
  readonly disk?: DiskProbe | undefined
  readonly onPhase?: (phase: Phase) => void
}

/** V8 lets the young generation grow threefold at a load; `npm start` holds it at this size too. */
const serverFlags = ['--min-semi-space-size=16', '--max-semi-space-size=16']

/** The first calls compile the code; they are not measured. */
const warmUpSeconds = 1

export async function runPhases(input: PhasesInput): Promise<Phase[]> {
  const { seconds, quietSeconds, disk, onPhase = () => {} } = input
  const users = Array.from({ length: input.users }, () => new Agent({ keepAlive: true, maxSockets: 6 }))
  const fullSessionUsers = input.attacks.filter(({ readsFullSession }) => readsFullSession).map(hostileUserOf)
  const options = { limits: chatLimits, ...input.server.options }
  const config: HostileServerConfig = { ...input.server, options, fullSessionUsers }
  const server = startChild('../hostile/server.ts', [JSON.stringify(config)], serverFlags)
  const { port } = await answerOf<{ port: number }>(server)
  const attacker = startChild('../hostile/attacker.ts', [String(port)])
  await answerOf(attacker)
  const phases: Phase[] = []
  const play = async (name: string, length: number): Promise<void> => {
    const load = { port, users, seconds: length }
    disk?.take()
    const played = await playPhase({ server, attacker }, { name, load, isQuiet: name === 'quiet' })
    const phase = { ...played, diskMs: disk?.take() ?? [] }
    phases.push(phase)
    onPhase(phase)
  }
  try {
    await runHonestUsers({ port, users, seconds: Math.min(warmUpSeconds, quietSeconds) })
    await takeStrain(server)
    await play('quiet', quietSeconds)
    for (const { name, times = 1 } of input.attacks) await play(name, seconds * times)
    if (quietSeconds > 1) await play('quiet', quietSeconds / 2)
    return phases
  } finally {
    for (const agent of users) agent.destroy()
    attacker.disconnect()
    const ended = once(server, 'exit')
    server.send('stop')
    await ended
  }
}

interface Processes {
  readonly server: ChildProcess
  readonly attacker: ChildProcess
}

async function playPhase(
  { server, attacker }: Processes,
  { name, load, isQuiet }: { name: string; load: Parameters<typeof runHonestUsers>[0]; isQuiet: boolean },
): Promise<Omit<Phase, 'diskMs'>> {
  const order: AttackOrder = { name, phase: crypto.randomUUID().slice(0, 8), ms: load.seconds * 1_000 }
  if (!isQuiet) attacker.send(order)
  const ending = isQuiet ? { counts: {}, untyped: [] } : answerOf<AttackEnd>(attacker)
  const experience = await runHonestUsers(load)
  const end = await ending
  return { name, ...experience, ...end, ...(await takeStrain(server)) }
}

async function takeStrain(server: ChildProcess): Promise<ServerStrain> {
  server.send('strain')
  return await answerOf<ServerStrain>(server)
}
