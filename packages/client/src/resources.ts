/** The plain calls, hand-typed from the contract so that their declarations name nothing else, and with one class of error. */
import { childController, randomUuid } from '@verbatim/core'
import type {
  AgentMap,
  AnyAgents,
  Attachment,
  AuditEntry,
  CancelRunResult,
  DeleteSessionResult,
  EraseInput,
  Erasure,
  ExportLine,
  MessageOf,
  Page,
  Run,
  Session,
} from '@verbatim/core'
import type { Connection } from './transport/connection.ts'
import { readExport } from './transport/read-export.ts'
import type { ExportRequest } from './transport/read-export.ts'
import { downloadFile, uploadFile } from './transport/transfer-file.ts'
import type { UploadRequest } from './transport/transfer-file.ts'
import { followSessions } from './transport/follow-sessions.ts'
import type { FollowSessionsOptions } from './transport/follow-sessions.ts'
import { retryCall } from './transport/reconnect.ts'
import type { SessionState } from './transport/session-state.ts'
import type { Hub } from './transport/stream-hub.ts'
import { toVerbatimError } from './transport/to-error.ts'
import type { VerbatimTrpcClient } from './transport/trpc-client.ts'

/** Options of every call. */
export interface CallOptions {
  /** Gives the call up; it then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined
}

/** Options of every call that lists. */
export interface ListOptions extends CallOptions {
  /** `nextCursor` of the page before. */
  readonly cursor?: string | null | undefined
  /** Items of a page, 100 at most. @default 50 */
  readonly limit?: number | undefined
}

/** Sessions. Every call throws `VerbatimError`; one about a session that was deleted `SESSION_DELETED`. */
export interface Sessions {
  /** The session of this id (a random one when left out), made when it is new. */
  create(
    session?: { sessionId?: string | undefined; title?: string | null | undefined },
    options?: CallOptions,
  ): Promise<Session>
  /** @throws VerbatimError `SESSION_NOT_FOUND` */
  get(sessionId: string, options?: CallOptions): Promise<Session>
  /** Newest activity first. @throws VerbatimError `INVALID_CURSOR` */
  list(options?: ListOptions): Promise<Page<Session>>
  /** Renames a session. @throws VerbatimError `SESSION_NOT_FOUND` */
  update(session: { sessionId: string; title: string | null }, options?: CallOptions): Promise<Session>
  /**
   * Deletes a session for good, with its messages and runs; one that goes on is cancelled. Repeated with backoff while the
   * server cannot be reached. The answer tells whether everything is gone already; the server finishes the rest by itself.
   *
   * @throws VerbatimError `SESSION_NOT_FOUND`
   */
  delete(sessionId: string, options?: CallOptions): Promise<DeleteSessionResult>
  /**
   * The newest state of sessions, and of the list, whichever tab, device or server changes them: first as they are, then after each
   * change. It goes on until its signal aborts or the reader leaves, over any number of connections. All follows of a client share one.
   *
   * @throws VerbatimError what the server refuses for good; the signal's reason
   */
  follow(options: FollowSessionsOptions): AsyncGenerator<SessionState, void, void>
}

/** Options of `messages.list`. */
export interface ListMessagesOptions extends ListOptions {
  /** @default 'oldest' */
  readonly order?: 'oldest' | 'newest' | undefined
}

/** Stored messages. Every call throws `VerbatimError`; one about a session that was deleted `SESSION_DELETED`. */
export interface Messages<TAgents extends AgentMap = AnyAgents> {
  /** @throws VerbatimError `SESSION_NOT_FOUND`, `INVALID_CURSOR` */
  list(sessionId: string, options?: ListMessagesOptions): Promise<Page<MessageOf<TAgents>>>
  /** @throws VerbatimError `MESSAGE_NOT_FOUND` */
  get(sessionId: string, messageId: string, options?: CallOptions): Promise<MessageOf<TAgents>>
}

/**
 * The calls about runs; `follow` and `retry` are in create-client.ts. Every call throws `VerbatimError`; one about a session that was
 * deleted `SESSION_DELETED`.
 */
export interface RunCalls {
  /** @throws VerbatimError `RUN_NOT_FOUND` */
  get(runId: string, options?: CallOptions): Promise<Run>
  /** Newest first. @throws VerbatimError `SESSION_NOT_FOUND`, `INVALID_CURSOR` */
  list(sessionId: string, options?: ListOptions): Promise<Page<Run>>
  /**
   * Asks the server to stop a run and waits a little for its end; repeated with backoff while the server cannot be reached.
   *
   * @throws VerbatimError `RUN_NOT_FOUND`
   */
  cancel(runId: string, options?: CallOptions): Promise<CancelRunResult>
}

/** Whose data, and how the call is made. */
export interface ExportOptions extends ExportRequest, CallOptions {}

/** Options of `attachments.upload`. */
export interface UploadOptions extends CallOptions, UploadRequest {}

/** Files that prompts name: `{ type: 'image', source: { type: 'attachment', attachment_id } }`. */
export interface Attachments {
  /**
   * Stores a file; it is streamed, and repeated with backoff while the server cannot be reached, which is safe: its id makes it the same
   * attachment. In Node `await openAsBlob(path)` of `node:fs` makes a file of a path. A file that no message names goes after a day.
   *
   * @example
   * const { id } = await verbatim.attachments.upload(file, { onProgress: ({ sentBytes }) => show(sentBytes) })
   * const image = { type: 'image', source: { type: 'attachment', attachment_id: id } } as const
   * verbatim.chat('session-1').send([{ type: 'text', text: 'What is this?' }, image])
   * @throws VerbatimError `PAYLOAD_TOO_LARGE`, `ATTACHMENT_REFUSED`, `RATE_LIMITED`
   */
  upload(file: Blob, options?: UploadOptions): Promise<Attachment>
  /** The whole file, with its type. @throws VerbatimError `ATTACHMENT_NOT_FOUND` */
  download(id: string, options?: CallOptions): Promise<Blob>
}

/** All of one user: the caller's own data, and for operators (scope `verbatim:operator`) that of any user of their tenant. */
export interface Principals {
  /**
   * Everything that is stored of a user (the caller when `userId` is left out), line by line; the last is the trailer. Read as fast as
   * it is taken.
   *
   * @throws VerbatimError `FORBIDDEN`, `RATE_LIMITED`; `UNAVAILABLE` when it was cut, and then the whole export is asked for again
   */
  export(options?: ExportOptions): AsyncGenerator<ExportLine, void, void>
  /**
   * Removes everything of a user for good, for operators. Repeated with backoff while the server cannot be reached. It takes about
   * half a minute: call again with the `id` of the answer as `erasureId` until its `status` is `erased`.
   *
   * @throws VerbatimError `FORBIDDEN`
   */
  erase(user: EraseInput, options?: CallOptions): Promise<Erasure>
}

/** The audit of access, for operators: principals with the scope `verbatim:operator`. Every call throws `VerbatimError`. */
export interface Audit {
  /** The rows of the operator's tenant (with `verbatim:operator:all` of all), newest first. @throws VerbatimError `FORBIDDEN`, `INVALID_CURSOR` */
  list(options?: ListOptions): Promise<Page<AuditEntry>>
}

/** The plain calls of one client. */
export interface Calls {
  readonly attachments: Attachments
  readonly principals: Principals
  readonly audit: Audit
  readonly sessions: Sessions
  readonly messages: Messages
  readonly runs: RunCalls
}

/** @param closed aborts every call when the client closes */
export function createCalls(
  trpc: VerbatimTrpcClient,
  connection: Connection & { readonly hub: () => Hub },
  closed: AbortSignal,
): Calls {
  const { retry } = connection
  const call = createCaller(closed)
  return {
    attachments: createAttachments(connection, call),
    principals: createPrincipals(trpc, connection, closed),
    audit: {
      list: async (options) => await call(options, async (init) => await trpc.audit.list.query(pageOf(options), init)),
    },
    sessions: {
      ...createSessions(trpc, connection, call),
      follow: (options) => followSessions(connection.hub(), options, closed),
    },
    messages: createMessages(trpc, call),
    runs: {
      get: async (runId, options) => await call(options, async (init) => await trpc.runs.get.query({ runId }, init)),
      list: async (sessionId, options) =>
        await call(options, async (init) => await trpc.runs.list.query({ sessionId, ...pageOf(options) }, init)),
      cancel: async (runId, options) =>
        await call(options, async (init) => {
          return await retryCall(async () => await trpc.runs.cancel.mutate({ runId }, init), { retry, ...init })
        }),
    },
  }
}

function createSessions(
  { sessions }: VerbatimTrpcClient,
  { retry }: Connection,
  call: Caller,
): Omit<Sessions, 'follow'> {
  return {
    create: async (session = {}, options) =>
      await call(options, async (init) => await sessions.create.mutate(session, init)),
    get: async (sessionId, options) =>
      await call(options, async (init) => await sessions.get.query({ sessionId }, init)),
    list: async (options) => await call(options, async (init) => await sessions.list.query(pageOf(options), init)),
    update: async (session, options) =>
      await call(options, async (init) => await sessions.update.mutate(session, init)),
    delete: async (sessionId, options) =>
      await call(options, async (init) => {
        return await retryCall(async () => await sessions.delete.mutate({ sessionId }, init), { retry, ...init })
      }),
  }
}

function createPrincipals({ principals }: VerbatimTrpcClient, connection: Connection, closed: AbortSignal): Principals {
  const call = createCaller(closed)
  const { retry } = connection
  return {
    async *export({ signal: given, ...request } = {}) {
      const { controller, release } = childController(closed, given)
      try {
        yield* readExport(connection, request, controller.signal)
      } catch (error) {
        controller.signal.throwIfAborted()
        throw toVerbatimError(error)
      } finally {
        release()
      }
    },
    erase: async (user, options) => {
      const input = { erasureId: randomUuid(), ...user }
      return await call(options, async (init) => {
        return await retryCall(async () => await principals.erase.mutate(input, init), { retry, ...init })
      })
    },
  }
}

function createMessages({ messages }: VerbatimTrpcClient, call: Caller): Messages {
  return {
    list: async (sessionId, options) => {
      const input = { sessionId, order: options?.order ?? 'oldest', ...pageOf(options) }
      return await call(options, async (init) => await messages.list.query(input, init))
    },
    get: async (sessionId, messageId, options) =>
      await call(options, async (init) => await messages.get.query({ sessionId, messageId }, init)),
  }
}

function createAttachments(connection: Connection, call: Caller): Attachments {
  return {
    upload: async (file, options) =>
      await call(options, async ({ signal }) => await uploadFile(connection, file, { ...options, signal })),
    download: async (id, options) =>
      await call(options, async ({ signal }) => await downloadFile(connection, id, signal)),
  }
}

type Caller = <TResult>(
  options: CallOptions | undefined,
  run: (init: { signal: AbortSignal }) => Promise<TResult>,
) => Promise<TResult>

/** Makes calls that throw one class of error, or the abort's own reason. */
function createCaller(closed: AbortSignal): Caller {
  return async (options, run) => {
    const { controller, release } = childController(closed, options?.signal)
    const { signal } = controller
    try {
      return await run({ signal })
    } catch (error) {
      signal.throwIfAborted()
      throw toVerbatimError(error)
    } finally {
      release()
    }
  }
}

function pageOf({ cursor, limit }: ListOptions = {}): { cursor?: string; limit?: number } {
  return { ...(cursor == null ? {} : { cursor }), ...(limit === undefined ? {} : { limit }) }
}
