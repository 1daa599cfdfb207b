/** The contract: schemas, types and pure functions that server and client share. Runs in a browser. */
export {
  errorTable,
  ErrorCode,
  ErrorData,
  errorMeanings,
  errorOf,
  isTransient,
  isVerbatimError,
  VerbatimError,
  WireError,
} from './contract/errors.ts'
export { AgentId, AttachmentId, MessageId, randomUuid, RunId, SessionId } from './contract/identifiers.ts'
export { ownerOf, Principal, type Owner } from './contract/principal.ts'
export {
  CompactionBlock,
  ContentBlock,
  RedactedThinkingBlock,
  TextBlock,
  textOf,
  textOfResult,
  ThinkingBlock,
  ToolResultBlock,
  ToolResultContent,
  ToolResultPart,
  ToolUseBlock,
} from './contract/content-block.ts'
export { DocumentBlock, DocumentSource, ImageBlock, ImageMediaType, ImageSource } from './contract/media-block.ts'
export {
  type ContainerUploadBlock,
  isProviderBlock,
  type McpToolResultBlock,
  type McpToolUseBlock,
  type ModelMetadataBlock,
  OtherBlock,
  type OtherBlockType,
  ProviderBlock,
  type ServerToolResultBlock,
  type ServerToolUseBlock,
} from './contract/provider-block.ts'
export { citationsOf, indexOfSource, sourcesOf, type Citation, type Source } from './contract/sources.ts'
export { JsonValue } from './contract/json-value.ts'
export { AgentState, AgentStateName, maxAgentStateBytes } from './contract/agent-state.ts'
export { readToolInput, type ToolInput } from './contract/tool-input.ts'
export { ContentInput, PromptInput } from './contract/content-input.ts'
export { Attachment, attachmentIdsOf, AttachmentName, maxAttachmentsPerMessage } from './contract/attachment.ts'
export { describeIssue } from './contract/describe-issue.ts'
export { excessOfText, excessOfValue, inputBounds, refuseExcess } from './contract/input-bounds.ts'
export { RunMetrics, ToolMetrics } from './contract/metrics.ts'
export { DataPart } from './contract/data-part.ts'
export { Message, MessageRole, MessageStatus, withoutReplaced, type MessageLinks } from './contract/message.ts'
export { bytesOfPrompt, maxPromptBytes, Prompt, PromptBlock, toPromptBlocks } from './contract/prompt.ts'
export { bytesOfRunInput, maxRunInputBytes, RunInput } from './contract/run-input.ts'
export { DeleteSessionResult, Session, SessionTitle } from './contract/session.ts'
export { maxFollowed } from './contract/max-followed.ts'
export { type FollowedUpdate, FollowSessionsInput, type SessionUpdate } from './contract/session-update.ts'
export {
  CancelRunResult,
  ContinueRunInput,
  isTerminalStatus,
  RetryRunInput,
  Run,
  RunStatus,
  StartRunInput,
  type TerminalStatus,
  WhenBusy,
} from './contract/run.ts'
export {
  AgentEvent,
  batchAfter,
  blockOf,
  ContentDelta,
  EventBatch,
  isContinued,
  isTerminalEvent,
  lastSeqOf,
  ProviderUsage,
  RunEvent,
  TerminalEvent,
  terminalOf,
} from './contract/event.ts'
export {
  continuationPrompt,
  cutContinuationPrompt,
  unknownOutcome,
  wholeContinuationPrompt,
} from './contract/interruption.ts'
export { outputTextOf, partialOutputOf } from './contract/output-text.ts'
export type {
  AgentIdOf,
  AgentMap,
  AgentSchemas,
  AgentsOf,
  AgentTypes,
  AnyAgents,
  AnyData,
  AnyOutput,
  DataPartOf,
  DefaultAgentId,
  InputField,
  MessageOf,
  PartialOutput,
  RunEventOf,
  SendArguments,
  SomeData,
  SendOptionsOf,
} from './contract/agent-types.ts'
export { fromCursor, toCursor, type Cursor } from './contract/cursor.ts'
export { AuditAction, AuditEntry } from './contract/audit.ts'
export { EraseInput, Erasure, exportFormat, ExportLine, type ExportItem } from './contract/principal-data.ts'
export { maxPageBytes, PageInput, pageOf, type Page } from './contract/page.ts'
export { emptyAnswer, EventGapError, reduceEvents, statusOfTerminal, type Answer } from './contract/reduce-events.ts'
export {
  eventsOf,
  seqOf,
  textOfBatches,
  withCursors,
  type FollowedBatch,
  type FollowOptions,
  type FollowRunOptions,
  type HandleOptions,
  type RunHandle,
  type RunHandleStatus,
  type RunSegment,
  type SendOptions,
  textOfEvent,
} from './contract/run-handle.ts'
export type { FollowState, RunSource, RunStart, SourceFollowOptions } from './contract/run-source.ts'
export { followRunHandle, startRunHandle, toRunId } from './contract/create-run-handle.ts'
export { childController, closedError } from './contract/child-controller.ts'
