/** The engine for programs that embed it: `Engine` over any storage, and the factory over MongoDB. */
export { agent, type AgentOptions, type AgentSource } from './agents/agent.ts'
export type { AgentChunk } from './agents/frame-answer.ts'
export { createEngine } from './engine/create-engine.ts'
export type { EnginePorts } from './ports/engine-ports.ts'
export {
  closeGlobalFactory,
  createSessionManager,
  getGlobalFactory,
  initializeGlobalFactory,
  SessionManagerFactory,
  type SessionManagerFactoryOptions,
  type SessionManagerInput,
} from './session-manager-factory.ts'
export type { EngineOptionsInput } from './ports/engine-options.ts'
export type {
  AgentStateActions,
  AttachmentActions,
  AuditActions,
  EngineStats,
  InlineAgentOption,
  MessageActions,
  PrincipalActions,
  RunActions,
  Engine,
  SessionActions,
  UploadInput,
} from './engine/engine.ts'
export type {
  Agent,
  AgentPing,
  AgentRequest,
  ContinuationBudget,
  CrashPolicy,
  DataSchemas,
  Emit,
  RunPrincipal,
  RunScope,
  RunTimeouts,
  EmitOf,
  ScopeOf,
  TokenPrices,
  TypedAgent,
} from './ports/agent.ts'
export type {
  AttachmentFacts,
  AttachmentRepository,
  NewAttachment,
  ReadableAttachment,
} from './ports/attachment-repository.ts'
export type { AttachmentStore, ByteRange, BytesKey } from './ports/attachment-store.ts'
export type {
  AuditListener,
  AuditRecorder,
  AuditRepository,
  AuditRequest,
  ForeignId,
  MissingId,
  RefusedAccess,
} from './ports/audit.ts'
export type { Clock } from './ports/clock.ts'
export type { DeletionRepository, Tombstone, SessionKey } from './ports/deletion-repository.ts'
export type {
  AppendOutcome,
  EventLog,
  GrownEntry,
  LogEntry,
  LogGrowth,
  LogListener,
  LogPosition,
  LogWatcher,
  RunKey,
} from './ports/event-log.ts'
export type { HintedProcess, LogTail, PeerHints, RunHints } from './ports/run-hints.ts'
export type { ContentEncryption, ContentKey, ContentKeys, KeyService } from './ports/key-service.ts'
export { silentLogger, type LogFields, type Logger } from './ports/logger.ts'
export type {
  ClaimedRun,
  ContinuationUsage,
  FinishOutcome,
  LeaseHolder,
  LinkedRun,
  NewRun,
  OwnedRun,
  PromotedRun,
  QueuedStart,
  RenewedLease,
  RepeatedRun,
  RunEnd,
  RunHolder,
  RunRepository,
  StartOutcome,
} from './ports/run-repository.ts'
export type { ErasureStep, NewErasure, PrincipalKey, PrincipalRepository } from './ports/principal-repository.ts'
export type { AgentStates, NewAgentState } from './ports/agent-states.ts'
export type {
  MessagesRequest,
  NewMessage,
  PageRequest,
  Redaction,
  SessionRepository,
} from './ports/session-repository.ts'
export type {
  ListProbe,
  NewestSessions,
  ProbedSession,
  SessionListener,
  SessionRecord,
  SessionStates,
  SessionWatcher,
} from './ports/session-states.ts'
export type {
  AgentTrace,
  FollowedRun,
  ModelCallFacts,
  ModelMessage,
  ObservedRun,
  RunTrace,
  Telemetry,
  ToolCallFacts,
  TraceCarrier,
} from './ports/telemetry.ts'
export { openKeyDirectory } from './keys/key-directory.ts'
export { readKeyFile } from './keys/key-file.ts'
export { openLocalKeys } from './keys/local-keys.ts'
export {
  createWrappedKeys,
  type KeyStore,
  type KeyWrapper,
  type WrappedKey,
  type WrappedKeys,
} from './keys/wrapped-keys.ts'
export { systemClock } from './engine/system-clock.ts'
export {
  SessionManager,
  type MessageInput,
  type SessionRetryOptions,
  type SessionSendOptions,
} from './sessions/session-manager.ts'
