/** The Verbatim client: typed calls, and answers that survive lost connections. */
export {
  createClient,
  type Chat,
  type ClientOptions,
  type RetryRunOptions,
  type Runs,
  type VerbatimClient,
} from './create-client.ts'
export {
  citationsOf,
  indexOfSource,
  isVerbatimError,
  randomUuid,
  sourcesOf,
  textOf,
  textOfResult,
} from '@verbatim/core'
export type {
  AgentMap,
  AgentsOf,
  AnyAgents,
  Attachment,
  AuditEntry,
  Citation,
  ContentBlock,
  DocumentBlock,
  EraseInput,
  Erasure,
  ExportLine,
  FollowedBatch,
  FollowRunOptions,
  DataPartOf,
  HandleOptions,
  MessageOf,
  PartialOutput,
  ImageBlock,
  OtherBlock,
  PromptBlock,
  PromptInput,
  ProviderBlock,
  RunHandle,
  RunHandleStatus,
  RunSegment,
  SendOptions,
  Source,
} from '@verbatim/core'
export {
  type Attachments,
  type Audit,
  type CallOptions,
  type ExportOptions,
  type ListMessagesOptions,
  type ListOptions,
  type Messages,
  type Principals,
  type RunCalls,
  type Sessions,
  type UploadOptions,
} from './resources.ts'
export { type UploadProgress, type UploadRequest } from './transport/transfer-file.ts'
export { type RetryOptions, type TokenRequest, type TokenSource } from './transport/connection.ts'
export { type VerbatimTrpcClient } from './transport/trpc-client.ts'
export { type Store } from './stores/publisher.ts'
export { type ChatMessage } from './stores/chat-messages.ts'
export { chatStore } from './stores/chat-store.ts'
export { type ChatSendOptions, type ChatSnapshot, type ChatStatus, type ChatStore } from './stores/chat-snapshot.ts'
export { runStore, type RunSnapshot, type RunStore } from './stores/run-store.ts'
export { sessionListStore, type SessionListSnapshot, type SessionListStore } from './stores/session-list.ts'
export { type FollowSessionsOptions } from './transport/follow-sessions.ts'
export { type SessionState } from './transport/session-state.ts'
export { type Hub, type StreamSharing } from './transport/stream-hub.ts'
