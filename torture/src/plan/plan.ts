/** A plan: prompts, readers and faults with their times. It is data, made from a seed or written by hand. */
import type { WhenBusy } from '@verbatim/core'
import type { PromptSpec } from '../prompt.ts'
import type { ProfileName } from '../world/world.ts'

/** How a prompt is sent. */
type StartStyle =
  /** Sent until a server answers, to one server after the other. */
  | 'repeated'
  /** Sent to both servers at once, and then repeated. */
  | 'duplicate'
  /** Sent, then the client hangs up, and sends it again. */
  | 'answer_lost'
  /** Sent, then the client hangs up, and never asks again. */
  | 'abandoned'
  /** Sent by the real client. */
  | 'sdk'

export interface ReaderPlan {
  readonly type: 'raw' | 'sdk' | 'ai-sdk'
  /** The first server that it connects to. */
  readonly via: number
  /** After the start, in milliseconds. */
  readonly joinAfterMs: number
  readonly dropEvery: number
  readonly slowMs: number
}

export interface CancelPlan {
  /** After the confirmed start, in milliseconds. */
  readonly afterMs: number
  /** The servers that get the cancel, at once. */
  readonly vias: readonly number[]
}

/** The agent that is made for one run: only the process of the start has it. */
export const inlineAgentId = 'inline'

/** `continuing` and the agents with tools have `onCrash: 'continue'`; `slow-tooling` waits longer for a tool. */
export type AgentName = 'seeded' | 'continuing' | 'claude' | 'tooling' | 'slow-tooling' | typeof inlineAgentId

export interface TurnPlan {
  readonly prompt: PromptSpec
  readonly agentId: AgentName
  readonly start: StartStyle
  readonly whenBusy: WhenBusy
  /** After the turn before it when turns overlap, in milliseconds. */
  readonly delayMs: number
  readonly via: number
  readonly hangUpAfterMs: number
  readonly readers: readonly ReaderPlan[]
  readonly cancel: CancelPlan | null
  /** Id of the retry when the run ends without an answer; null for no retry. */
  readonly retryId: string | null
}

export interface SessionPlan {
  readonly sessionId: string
  readonly turns: readonly TurnPlan[]
  /** The next prompt does not wait for the answer: the session is busy, and `whenBusy` applies. */
  readonly overlaps: boolean
}

/** A fault and its time, in milliseconds after the plan's `faultsFrom`. */
export type FaultPlan = { readonly atMs: number } & Fault

export type Fault =
  | { readonly kind: 'server-kill' | 'server-term'; readonly server: number; readonly backAfterMs: number }
  | { readonly kind: 'server-hang' | 'server-block'; readonly server: number; readonly forMs: number }
  | WireFault
  | { readonly kind: 'clients-move' }
  /**
   * `mongod-abort` is SIGABRT, as after a failed assertion. `mongod-disk-full` ends the node because its files cannot grow; the
   * disk has space again at the restart.
   */
  | {
      readonly kind: 'mongod-kill' | 'mongod-abort' | 'mongod-disk-full'
      readonly node: NodeChoice
      readonly backAfterMs: number
    }
  | { readonly kind: 'mongod-hang'; readonly node: NodeChoice; readonly forMs: number }
  | { readonly kind: 'step-down' }
  /** The server sleeps until MongoDB has lost the resume token of its change stream; then clients connect to it. */
  | { readonly kind: 'history-lost'; readonly server: number }
  /** With three nodes: the primary writes alone for a time, then dies, and another node takes over without these writes. */
  | { readonly kind: 'lose-unreplicated'; readonly aloneMs: number; readonly backAfterMs: number }
  | {
      readonly kind: 'fail-commands'
      readonly how: FailHow
      readonly commands: readonly string[]
      readonly times: number
    }

/** `front` is the connection between clients and a server, `back` the one between a server and MongoDB. */
export type WireFault =
  | { readonly kind: 'front-cut' | 'back-cut'; readonly server: number }
  | { readonly kind: 'front-blackhole' | 'back-blackhole'; readonly server: number; readonly forMs: number }
  | {
      readonly kind: 'front-delay' | 'back-delay'
      readonly server: number
      readonly forMs: number
      readonly delayMs: number
    }

export type NodeChoice = 'primary' | 'secondary'

export type FailHow =
  | { readonly type: 'close' }
  | { readonly type: 'code'; readonly code: number }
  | { readonly type: 'write-concern'; readonly code: number }
  | { readonly type: 'block'; readonly ms: number }
  /** The write is applied, and then the connection is cut. */
  | { readonly type: 'applied-then-cut' }

export interface Plan {
  readonly name: string
  readonly seed: number
  readonly profile: ProfileName
  /** The time that runs get after SIGTERM, in milliseconds. */
  readonly graceMs: number
  readonly sessions: readonly SessionPlan[]
  /** The plan's start, or the time when every session's first answer streams, or has called its tool. */
  readonly faultsFrom: 'start' | 'streaming' | 'tools'
  readonly faults: readonly FaultPlan[]
  /** How many calls at once a hostile caller makes beside all this; 0 for none. */
  readonly hostileCalls: number
}

/** Whether another process continues a lost run of this agent. */
export function isContinued(agent: AgentName): boolean {
  return agent === 'continuing' || agent === 'tooling' || agent === 'slow-tooling'
}

/** The name in the totals. */
export function labelOf(fault: Fault): string {
  if (fault.kind !== 'fail-commands') return fault.kind
  const { how } = fault
  return 'code' in how ? `fail-${how.type}-${how.code}` : `fail-${how.type}`
}

const deadly: readonly Fault['kind'][] = [
  'server-kill',
  'server-term',
  'server-hang',
  'server-block',
  'back-blackhole',
  'mongod-kill',
  'mongod-abort',
  'mongod-disk-full',
  'mongod-hang',
  'lose-unreplicated',
]

/** Whether a fault ends processes, or makes them lose their leases. */
export function isDeadly({ kind }: Fault): boolean {
  return deadly.includes(kind)
}

/**
 * Whether a run of the plan may end interrupted. Short leases expire on a busy machine even without a fault, so only patient
 * plans without a deadly fault promise that every run completes.
 */
export function mayInterrupt({ profile, faults }: Plan): boolean {
  return profile !== 'patient' || faults.some(isDeadly)
}

/** Whether the database may be unavailable for longer than a call waits. */
export function touchesDatabase(plan: Plan): boolean {
  return plan.faults.some(({ kind }) => /^(back|mongod|step|fail)/.test(kind))
}
