/**
 * Every error Verbatim raises on purpose, in one table: what it means, what the caller should do, and how it travels.
 * In: a code and its data. Out: `VerbatimError`, the one class with codes.
 */
import { z } from 'zod'

interface ErrorRow {
  readonly httpStatus: number
  /** True when the same call may succeed later without being changed. */
  readonly retryable: boolean
}

/** An error that the same call meets again. */
function final(httpStatus: number): ErrorRow {
  return { httpStatus, retryable: false }
}

/** An error after which the same call may succeed later. */
function passing(httpStatus: number): ErrorRow {
  return { httpStatus, retryable: true }
}

/**
 * The one list of error codes. A new error is a row here, its meaning below, and the same in docs/protocol.md, section 6; a test compares
 * them.
 */
export const errorTable = {
  INVALID_INPUT: final(400),
  INVALID_CURSOR: final(400),
  UNAUTHENTICATED: final(401),
  BUDGET_EXCEEDED: final(402),
  FORBIDDEN: final(403),
  NOT_FOUND: final(404),
  SESSION_NOT_FOUND: final(404),
  MESSAGE_NOT_FOUND: final(404),
  RUN_NOT_FOUND: final(404),
  AGENT_NOT_FOUND: final(404),
  ATTACHMENT_NOT_FOUND: final(404),
  METHOD_NOT_ALLOWED: final(405),
  SESSION_BUSY: passing(409),
  RUN_ID_REUSED: final(409),
  RUN_NOT_RETRYABLE: final(409),
  MESSAGE_ID_REUSED: final(409),
  ATTACHMENT_ID_REUSED: final(409),
  HEAD_MOVED: final(409),
  STATE_MOVED: final(409),
  PRINCIPAL_ERASING: passing(409),
  CURSOR_EXPIRED: final(410),
  SESSION_DELETED: final(410),
  CONTENT_UNREADABLE: final(410),
  PAYLOAD_TOO_LARGE: final(413),
  MESSAGE_TOO_LARGE: final(413),
  TOO_MUCH_DATA: final(413),
  UNSUPPORTED_MEDIA_TYPE: final(415),
  ATTACHMENT_REFUSED: final(422),
  RATE_LIMITED: passing(429),
  INTERNAL: final(500),
  INVALID_CONFIGURATION: final(500),
  UNSUPPORTED_DEPLOYMENT: final(500),
  PROVIDER_REFUSED: final(502),
  OUTPUT_INVALID: passing(502),
  PROVIDER_ERROR: passing(502),
  UNAVAILABLE: passing(503),
  OVERLOADED: passing(503),
  UNSUPPORTED_VERSION: passing(503),
  RUN_FENCED: passing(503),
  RUN_TIMEOUT: passing(504),
} as const satisfies Record<string, ErrorRow>

/** A code of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable

/** What each code means: its cause, then what the caller should do. Only servers use it, so no page carries it. */
export const errorMeanings: Readonly<Record<ErrorCode, string>> = {
  INVALID_INPUT: 'A field is missing, unknown or malformed; data.field names it. Correct it',
  INVALID_CURSOR: 'The cursor is malformed, of another run or list, or past the end. Begin without one',
  UNAUTHENTICATED: 'No valid credentials came with the call. Sign in and call again',
  BUDGET_EXCEEDED: "The day's budget is used up; data.kind tells whose. It is full again in data.retryAfterMs",
  FORBIDDEN: 'The principal lacks the scope for this call. Ask for it',
  NOT_FOUND: 'No such endpoint or procedure. Check the path',
  SESSION_NOT_FOUND: 'The caller has no session of this id. Create it or list the sessions',
  MESSAGE_NOT_FOUND: 'The session has no message of this id. List the messages',
  RUN_NOT_FOUND: 'The caller has no run of this id. Start it',
  AGENT_NOT_FOUND: 'The server has no agent of this id. Name one that it has',
  ATTACHMENT_NOT_FOUND: 'The caller has no attachment of this id, or it is gone. Upload the file again',
  METHOD_NOT_ALLOWED: 'The endpoint does not take this HTTP method. Use the one it names',
  SESSION_BUSY:
    'A run is active in the session (data.activeRunId), or too many calls write to it (data.kind). Wait, queue or cancel',
  RUN_ID_REUSED: 'The run id was used for another prompt. Make a new id for a new prompt',
  RUN_NOT_RETRYABLE: 'The session has gone on after the run, it has no answer, or no rest to continue. Start a new run',
  MESSAGE_ID_REUSED: 'The message id was used for another message of the session. Make a new id',
  ATTACHMENT_ID_REUSED: 'The attachment id was used for another file. Make a new id',
  HEAD_MOVED: 'Another message was appended first. Load the history again, then append',
  STATE_MOVED: 'Another writer has stored a newer state of the agent. Read it again, then write',
  PRINCIPAL_ERASING:
    "All of the caller's data is being erased. Wait data.retryAfterMs, then call again: the caller begins anew",
  CURSOR_EXPIRED: 'The events past the cursor are no longer kept. Read the stored message',
  SESSION_DELETED: 'The session was deleted, with its messages and runs. Make a new one with another id',
  CONTENT_UNREADABLE:
    'The stored content cannot be decrypted any more; data.kind tells why. Delete the session and make a new one',
  PAYLOAD_TOO_LARGE: 'The request body is over data.maxBytes. Send less',
  MESSAGE_TOO_LARGE: 'A prompt or answer is over data.maxBytes. Shorten or split it',
  TOO_MUCH_DATA:
    'The run has emitted as much data as it may (data.kind: events or bytes). Emit less often, or less at once',
  UNSUPPORTED_MEDIA_TYPE: 'Bodies are JSON only. Send content-type: application/json',
  ATTACHMENT_REFUSED:
    'No such file is taken here; data.kind tells why: type, size, pages, unreadable, empty or count. Send another',
  RATE_LIMITED: 'Too many calls. Wait data.retryAfterMs, then call again',
  INTERNAL: 'A fault of the server, masked; report data.correlationId',
  INVALID_CONFIGURATION: 'An option of the server is wrong or contradicts another. Correct it and start again',
  UNSUPPORTED_DEPLOYMENT: 'MongoDB cannot serve Verbatim as it runs. Do what the message says',
  PROVIDER_REFUSED:
    "The model's provider refuses the request as it is (credentials, model, size); data.kind tells. Correct the agent",
  OUTPUT_INVALID:
    "The answer is not what the agent's output schema asks for; data.kind tells why. Its text is kept. Start a new run",
  PROVIDER_ERROR: "The model's provider refused or broke off. Start a new run",
  UNAVAILABLE: 'The database is away or the server is stopping. Wait data.retryAfterMs, then call again',
  OVERLOADED:
    'More work than can be done in time (data.kind); nothing is stored. Wait data.retryAfterMs, then call again',
  UNSUPPORTED_VERSION:
    'A newer server has stored this, and this server leaves it alone. Call again; the operator upgrades this server',
  RUN_FENCED: 'Another process took the run over. Follow it: it ends there',
  RUN_TIMEOUT: 'The model was silent or slow for data.timeoutMs (data.kind tells which wait). Start a new run',
}

/** All codes; also the schema of a code on the wire. */
export const ErrorCode = z.enum(Object.keys(errorTable) as [ErrorCode, ...ErrorCode[]]) // keys of a const object are its codes

/** What an error says besides its code; every field is safe to show to the caller. */
export const ErrorData = z.strictObject({
  field: z.string().optional(),
  activeRunId: z.string().optional(),
  maxBytes: z.number().optional(),
  maxEvents: z.number().optional(),
  retryAfterMs: z.number().optional(),
  timeoutMs: z.number().optional(),
  kind: z.string().optional(),
  providerStatus: z.number().optional(),
  correlationId: z.string().optional(),
})
export type ErrorData = z.infer<typeof ErrorData>

/** An error on the wire: in tRPC's shape under `data.verbatim`, in plain HTTP bodies, and in `run_failed`. */
export const WireError = z.strictObject({
  code: ErrorCode,
  message: z.string(),
  retryable: z.boolean(),
  data: ErrorData,
})
export type WireError = z.infer<typeof WireError>

const brand = Symbol.for('verbatim.error')

/**
 * An error with a code. Recognise it with {@link isVerbatimError}, which also holds across two copies of the package.
 * `message` says what happened and what to do; it never holds a secret or a prompt.
 */
export class VerbatimError extends Error {
  override readonly name = 'VerbatimError'
  readonly code: ErrorCode
  readonly data: ErrorData
  readonly [brand] = true

  constructor(code: ErrorCode, message: string = code, options: { data?: ErrorData; cause?: unknown } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause })
    this.code = code
    this.data = options.data ?? {}
  }

  /** True when the same call may succeed later without being changed. */
  get retryable(): boolean {
    return errorTable[this.code].retryable
  }

  /** The status of an HTTP answer that carries this error. */
  get httpStatus(): number {
    return errorTable[this.code].httpStatus
  }

  /** The form on the wire: no stack, no cause. */
  toWire(): WireError {
    return { code: this.code, message: this.message, retryable: this.retryable, data: this.data }
  }

  /** The error, on the other side of the wire. */
  static fromWire(wire: WireError): VerbatimError {
    return new VerbatimError(wire.code, wire.message, { data: wire.data })
  }
}

/** An error of a server, with the meaning of its code as its message. */
export function errorOf(code: ErrorCode, options?: { data?: ErrorData; cause?: unknown }): VerbatimError {
  return new VerbatimError(code, errorMeanings[code], options)
}

/** Tells whether `error` is a {@link VerbatimError}, of this copy of the package or another. */
export function isVerbatimError(error: unknown): error is VerbatimError {
  return typeof error === 'object' && error !== null && brand in error
}

/** Tells whether the database was away or its server stopping: the same call may succeed soon, here or at another process. */
export function isUnavailable(error: unknown): error is VerbatimError {
  return isVerbatimError(error) && error.code === 'UNAVAILABLE'
}

/** Tells whether the server's side is at fault for now (an HTTP status of 500 or more): the same call may succeed later. */
export function isTransient(error: VerbatimError): boolean {
  return error.retryable && error.httpStatus >= 500
}

/** `found`, when there is one. @throws VerbatimError `code` otherwise */
export function requireFound<TFound>(found: TFound | undefined, code: ErrorCode): TFound {
  if (found === undefined) throw errorOf(code)
  return found
}

/** What may be logged of an error: its code or its kind, because the message might hold a secret or a prompt. */
export function reasonOf(error: unknown): string {
  if (isVerbatimError(error)) return error.code
  return error instanceof Error ? error.name : typeof error
}
