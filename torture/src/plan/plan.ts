/** What a plan is: prompts, readers and faults with their times. Data only, made from a seed or written by hand. */
import type { WhenBusy } from '@verbatim/core'
import type { PromptSpec } from '../prompt.ts'
import type { ProfileName } from '../world/world.ts'

/** How a prompt is sent. */
export type StartStyle =
  /** Sent until it is answered, to one server after the other. */
  | 'repeated'
  /** Sent to both servers at once, and then repeated. */
  | 'duplicate'
  /** Sent, hung up on, and sent again. */
  | 'answer_lost'
  /** Sent, hung up on, and never asked about again. */
  | 'abandoned'
  /** By the real client. */
  | 'sdk'

export interface ReaderPlan {
  readonly type: 'raw' | 'sdk'
  /** The server it begins with. */
  readonly via: number
  /** Behind the start, in milliseconds. */
  readonly joinAfterMs: number
  readonly dropEvery: number
  readonly slowMs: number
}

export interface CancelPlan {
  /** Behind the confirmed start, in milliseconds. */
  readonly afterMs: number
  /** The servers that are asked, at once. */
  readonly vias: readonly number[]
}

/** `continuing` and those with tools have `onCrash: 'continue'`, the others 'interrupt'; `slow-tooling` waits long for a tool. */
export type AgentName = 'seeded' | 'continuing' | 'claude' | 'tooling' | 'slow-tooling'

export interface TurnPlan {
  readonly prompt: PromptSpec
  readonly agentId: AgentName
  readonly start: StartStyle
  readonly whenBusy: WhenBusy
  /** Behind the turn before it when that is not waited for, in milliseconds. */
  readonly delayMs: number
  readonly via: number
  readonly hangUpAfterMs: number
  readonly readers: readonly ReaderPlan[]
  readonly cancel: CancelPlan | null
  /** Id of a run that answers the prompt again, when the first one ends without an answer; null for none. */
  readonly retryId: string | null
}

export interface SessionPlan {
  readonly sessionId: string
  readonly turns: readonly TurnPlan[]
  /** The next prompt does not wait for the answer: the session is busy, and `whenBusy` says what comes of it. */
  readonly overlaps: boolean
}

/** A fault and when it comes, in milliseconds from when the plan says. */
export type FaultPlan = { readonly atMs: number } & Fault

export type Fault =
  | { readonly kind: 'server-kill'; readonly server: number; readonly backAfterMs: number }
  | { readonly kind: 'server-term'; readonly server: number; readonly backAfterMs: number }
  | { readonly kind: 'server-hang'; readonly server: number; readonly forMs: number }
  | { readonly kind: 'server-block'; readonly server: number; readonly forMs: number }
  | { readonly kind: 'front-cut'; readonly server: number }
  | { readonly kind: 'front-blackhole'; readonly server: number; readonly forMs: number }
  | { readonly kind: 'front-delay'; readonly server: number; readonly forMs: number; readonly delayMs: number }
  | { readonly kind: 'back-cut'; readonly server: number }
  | { readonly kind: 'back-blackhole'; readonly server: number; readonly forMs: number }
  | { readonly kind: 'back-delay'; readonly server: number; readonly forMs: number; readonly delayMs: number }
  | { readonly kind: 'clients-move' }
  | { readonly kind: 'mongod-kill'; readonly node: NodeChoice; readonly backAfterMs: number }
  /** As on a failed assertion of its own: SIGABRT. */
  | { readonly kind: 'mongod-abort'; readonly node: NodeChoice; readonly backAfterMs: number }
  /** No file of its grows any more, which ends it; there is room again when it is back. */
  | { readonly kind: 'mongod-disk-full'; readonly node: NodeChoice; readonly backAfterMs: number }
  | { readonly kind: 'mongod-hang'; readonly node: NodeChoice; readonly forMs: number }
  | { readonly kind: 'step-down' }
  /** The server sleeps until MongoDB has forgotten where the server's change stream was; then clients come to it. */
  | { readonly kind: 'history-lost'; readonly server: number }
  /** With three nodes: the primary goes on alone for so long, then dies, and the others take over without what it wrote. */
  | { readonly kind: 'lose-unreplicated'; readonly aloneMs: number; readonly backAfterMs: number }
  | {
      readonly kind: 'fail-commands'
      readonly how: FailHow
      readonly commands: readonly string[]
      readonly times: number
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
  /** What a server that is asked to stop gives its runs, in milliseconds. */
  readonly graceMs: number
  readonly sessions: readonly SessionPlan[]
  /**
   * Times of faults count from the plan's start, from when every session's first answer is being streamed, or from when each of
   * these has called its tool.
   */
  readonly faultsFrom: 'start' | 'streaming' | 'tools'
  readonly faults: readonly FaultPlan[]
}

/** Whether another run goes on from a run of this agent whose process was lost. */
export function isContinued(agent: AgentName): boolean {
  return agent === 'continuing' || agent === 'tooling' || agent === 'slow-tooling'
}

/** The word under which a fault is counted. */
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

/** Whether a fault ends processes, or makes them give up what they hold. */
export function isDeadly({ kind }: Fault): boolean {
  return deadly.includes(kind)
}

/**
 * Whether a run of the plan may end interrupted: its process may die, or must give up. Short leases lapse on a busy machine
 * without any fault of ours, so only patient plans without a deadly fault promise that every run completes.
 */
export function mayInterrupt({ profile, faults }: Plan): boolean {
  return profile !== 'patient' || faults.some(isDeadly)
}

/** Whether the database may be away for longer than a call waits. */
export function touchesDatabase(plan: Plan): boolean {
  return plan.faults.some(({ kind }) => /^(back|mongod|step|fail)/.test(kind))
}
