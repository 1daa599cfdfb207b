import type { z } from 'zod'
import type { VerbatimError } from '../contract/errors.ts'
import type { JsonValue } from '../contract/json-value.ts'
import type { AgentEvent } from '../contract/event.ts'
import type { AgentId, AttachmentId, RunId, SessionId } from '../contract/identifiers.ts'
import type { Message } from '../contract/message.ts'
import type { AgentTrace } from './telemetry.ts'

/**
 * For whom a run is made. The same in every process that takes the run on. It names the user and holds no rights and no token: an agent
 * or a tool asks the application for those, which knows what they are now.
 */
export interface RunPrincipal {
  readonly userId: string
  readonly tenantId: string
}

/**
 * Emits data of the application's own kind into the run's log: `emit('progress', { done: 3, total: 9 })`. It is durable before a client
 * sees it, and the message keeps the newest of each name and `id` (of the name alone without one). Resolves when the log has room for
 * more; await it, so that a fast agent waits.
 *
 * Rejects with `INVALID_INPUT` when the name, the id or the data (JSON) is malformed, with `TOO_MUCH_DATA` past the run's bounds, and
 * with the signal's reason once the run is over. What is refused is not in the log.
 */
export type Emit = (name: string, data: JsonValue, options?: { readonly id?: string | undefined }) => Promise<void>

/** Who asks, where and with what: the part of a request that system prompts and tools receive too. */
export interface RunScope {
  readonly runId: RunId
  readonly sessionId: SessionId
  readonly principal: RunPrincipal
  /** The session as it was when the run began. */
  readonly session: { readonly id: SessionId; readonly title: string | null }
  /** What the caller gave beside the prompt, as the agent's `input` schema answered it. */
  readonly input?: JsonValue | undefined
}

/** What an agent receives: who asks, and the conversation so far, oldest first, ending with the user message to answer. */
export interface AgentRequest extends RunScope {
  /** The same as to yield a `data` event, for code that cannot yield. */
  readonly emit: Emit
  readonly messages: readonly Message[]
  /** True when the session has messages before these, which the window leaves out. */
  readonly hasOlder?: boolean
  /** The files that blocks of the messages name (`source.type: "attachment"`); absent where there are none to read. */
  readonly attachments?: AttachmentReader
  /** Takes what the agent reports of its model calls and tools; absent without telemetry. */
  readonly trace?: AgentTrace
}

/** What is known of a file before its bytes are read. */
export interface AttachedFile {
  readonly id: AttachmentId
  readonly mediaType: string
  readonly sizeBytes: number
  /** The pages of a PDF; null for other types. */
  readonly pages: number | null
}

/** The files of the run's owner. */
export interface AttachmentReader {
  /** Those of `ids` that are there, with one command however many they are. @throws VerbatimError `UNAVAILABLE` */
  find(ids: readonly AttachmentId[], options: { signal: AbortSignal }): Promise<readonly AttachedFile[]>
  /** The bytes of a file. @throws VerbatimError `ATTACHMENT_NOT_FOUND`, `UNAVAILABLE`; the signal's reason when it aborts */
  read(id: AttachmentId, options: { signal: AbortSignal }): Promise<Uint8Array>
}

/** How long a run waits for its agent. Each defaults to the engine's own option. */
export interface RunTimeouts {
  /** Without a sign of life from a model call's start to its first content, in milliseconds. @default 60_000 */
  readonly firstTokenMs: number
  /** Between two events or signs of life of a model call, in milliseconds. @default 120_000 */
  readonly idleMs: number
  /** For the whole run, in milliseconds. @default 600_000 */
  readonly totalMs: number
}

/** What happens to an answer whose process was lost: it stays interrupted, or a linked run continues it. */
export type CrashPolicy = 'interrupt' | 'continue'

/** What all continuations of one answer may use together. After any of these limits the answer stays interrupted. */
export interface ContinuationBudget {
  /** Linked runs after the first. @default 3 */
  readonly maxContinuations: number
  /** Output tokens of all runs of the answer; at this number no further run starts. @default 200_000 */
  readonly maxOutputTokens: number
  /** What all runs of the answer may cost before no further run starts. @default no limit, because prices are not known */
  readonly maxCost?: { readonly usd: number; readonly prices: TokenPrices } | undefined
}

/** In US dollars per million tokens. */
export interface TokenPrices {
  readonly input: number
  readonly output: number
  readonly cacheRead: number
  readonly cacheWrite: number
}

/** A sign of life: the provider is at work and says nothing. It keeps a run from being taken for silent, and is never stored. */
export interface AgentPing {
  readonly type: 'ping'
}

/** A named configuration (model, system prompt, tools) that answers in a session. */
export interface Agent {
  readonly id: AgentId
  readonly timeouts?: Partial<RunTimeouts>
  /** How many of the newest messages the agent receives, the new prompt included. @default 40 */
  readonly maxHistoryMessages?: number
  /**
   * The largest prompt that the agent can answer by itself, in bytes of its content as JSON, without the files in it. A larger one
   * is refused before anything is stored (`MESSAGE_TOO_LARGE`). Asked at every start and retry, so it may change with what the agent
   * learns.
   *
   * @default no limit but the engine's own
   */
  maxPromptBytes?(): number
  /**
   * What the text of the last model call must be: JSON that fits. The engine checks it before the run completes and stores what the
   * schema answers as the message's `output`. A run whose answer does not fit fails with `OUTPUT_INVALID`. @default any text
   */
  readonly output?: z.ZodType | undefined
  /**
   * What callers may give beside the prompt. It is checked before anything is stored (`INVALID_INPUT`), and what the schema answers is
   * stored with the prompt and goes to the agent: also in another process, in a retry and in a continuation. It must be JSON.
   *
   * @default none: an input is refused
   */
  readonly input?: z.ZodType | undefined
  /**
   * What the agent and its tools may emit, by name. Another name, and what does not fit, is refused (`INVALID_INPUT`); what the schema
   * answers is stored. @default any name, any JSON
   */
  readonly data?: DataSchemas | undefined
  /**
   * Why the agent cannot use files that a new prompt names, as an `ATTACHMENT_REFUSED` for the caller: their types, sizes, pages. Asked
   * before anything is stored, and only when a prompt names files.
   *
   * @default takes every file
   */
  refusalOf?(files: readonly AttachedFile[]): VerbatimError | undefined
  /** @default "interrupt" */
  readonly onCrash?: CrashPolicy
  /** For `onCrash: "continue"`; every field has a default. */
  readonly continuation?: { readonly [TName in keyof ContinuationBudget]?: ContinuationBudget[TName] | undefined }
  /**
   * Answers `request` as a stream of events; returns when the answer is complete. An agent that runs tools does so after the
   * `message_stop` of the call that asks for them: the engine stores that event before it pulls the next, so no tool runs unrecorded.
   * Throws `VerbatimError` (`PROVIDER_ERROR`, `PROVIDER_REFUSED`) when the provider fails for good. Stops at once when `signal` aborts.
   */
  stream(request: AgentRequest, signal: AbortSignal): AsyncIterable<AgentEvent | AgentPing>
}

/** Schemas of data, by its name. */
export interface DataSchemas {
  readonly [name: string]: z.ZodType
}

/** {@link Emit} of an agent whose data the compiler knows. */
export type EmitOf<TData extends DataSchemas | undefined> = TData extends DataSchemas
  ? <TName extends keyof TData & string>(
      name: TName,
      data: z.input<TData[TName]>,
      options?: { readonly id?: string | undefined },
    ) => Promise<void>
  : Emit

/** A scope whose input the compiler knows by the agent's schema. */
export type ScopeOf<TScope extends RunScope, TInput extends z.ZodType | undefined> = Omit<TScope, 'input'> & {
  readonly input: TInput extends z.ZodType
    ? unknown extends z.output<TInput>
      ? JsonValue | undefined
      : z.output<TInput>
    : undefined
}

/** An agent whose id and schemas the compiler knows, see `AgentsOf`. */
export interface TypedAgent<
  TId extends AgentId,
  TInput extends z.ZodType | undefined,
  TOutput extends z.ZodType | undefined,
  TData extends DataSchemas | undefined,
> extends Agent {
  readonly id: TId
  readonly input: TInput
  readonly output: TOutput
  readonly data: TData
}
