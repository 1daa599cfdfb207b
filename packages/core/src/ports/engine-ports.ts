import type { Agent } from './agent.ts'
import type { AgentStates } from './agent-states.ts'
import type { AttachmentRepository } from './attachment-repository.ts'
import type { AuditListener, AuditRepository } from './audit.ts'
import type { Clock } from './clock.ts'
import type { DeletionRepository } from './deletion-repository.ts'
import type { EventLog, LogWatcher } from './event-log.ts'
import type { ContentKeys } from './key-service.ts'
import type { Logger } from './logger.ts'
import type { PrincipalRepository } from './principal-repository.ts'
import type { PeerHints } from './run-hints.ts'
import type { RunRepository } from './run-repository.ts'
import type { SessionRepository } from './session-repository.ts'
import type { SessionStates, SessionWatcher } from './session-states.ts'
import type { Telemetry } from './telemetry.ts'
import type { UsageLedger } from './usage-ledger.ts'

/** What the engine needs from outside. */
export interface EnginePorts {
  readonly sessionRepository: SessionRepository
  readonly runRepository: RunRepository
  readonly deletionRepository: DeletionRepository
  /** The keys of sealed content; without it content is stored in clear. */
  readonly contentKeys?: ContentKeys | undefined
  readonly attachmentRepository: AttachmentRepository
  readonly agentStates: AgentStates
  readonly auditRepository: AuditRepository
  readonly principalRepository: PrincipalRepository
  /** What model calls have used; needed when there are budgets. */
  readonly usageLedger?: UsageLedger | undefined
  readonly eventLog: EventLog
  /** Hints at runs that other processes write; without it their followers poll. */
  readonly logWatcher?: LogWatcher | undefined
  /** Hints that processes give each other, in place of `logWatcher`. The engine closes it. */
  readonly peerHints?: PeerHints | undefined
  readonly sessionStates: SessionStates
  /** Hints at sessions that have changed; without it their followers poll. */
  readonly sessionWatcher?: SessionWatcher | undefined
  /** The agents that can answer; the first is the default. With none, each run brings its own, see `RunActions.start`. */
  readonly agents: readonly Agent[]
  /** Resolves when the database answers and is as the engine needs it. */
  readonly checkReady: (signal?: AbortSignal) => Promise<void>
  /**
   * Receives each row of the audit after it was stored, to send it elsewhere; a counted row when its minute is over. It must not throw.
   * A process that dies in between does not send what it stored: `audit.list` has every row.
   */
  readonly onAudit?: AuditListener | undefined
  /** Reports runs, commits and followers, see `@verbatim/core/opentelemetry`. @default nothing is reported, and no trace is stored */
  readonly telemetry?: Telemetry | undefined
  readonly logger?: Logger | undefined
  readonly clock?: Clock | undefined
}

/** {@link EnginePorts} with its defaults filled in. */
export type ResolvedPorts = EnginePorts & { readonly logger: Logger; readonly clock: Clock }
