/** The engine for programs that embed it: `ServerCore` over any storage, and the factory over MongoDB. */
export { createServerCore } from './create-server-core.ts'
export type { ServerPorts } from './server-ports.ts'
export {
  closeGlobalFactory,
  createSessionManager,
  getGlobalFactory,
  initializeGlobalFactory,
  SessionManagerFactory,
  type SessionManagerFactoryOptions,
  type SessionManagerInput,
} from './session-manager-factory.ts'
export type { ServerOptionsInput } from './server-options.ts'
export type { CoreStats, FollowOptions, MessageActions, RunActions, ServerCore, SessionActions } from './server-core.ts'
export type { Agent, AgentRequest, ContinuationBudget, CrashPolicy, RunTimeouts, TokenPrices } from './ports/agent.ts'
export type { Clock } from './ports/clock.ts'
export type { DeletionRepository, MarkedSession, SessionKey } from './ports/deletion-repository.ts'
export type { AppendOutcome, EventLog, LogEntry, RunKey } from './ports/event-log.ts'
export { silentLogger, type LogFields, type Logger } from './ports/logger.ts'
export type {
  ChainUse,
  ClaimedRun,
  FinishOutcome,
  LinkedRun,
  NewRun,
  Offer,
  OwnedRun,
  QueuedStart,
  RepeatedRun,
  RenewedLease,
  RunBegin,
  RunEnd,
  RunRepository,
  StartOutcome,
} from './ports/run-repository.ts'
export type { MessagesRequest, NewMessage, PageRequest, SessionRepository } from './ports/session-repository.ts'
export { systemClock } from './system-clock.ts'
export { SessionManager, type MessageInput, type PromptInput } from './sessions/session-manager.ts'
