/**
 * Every error Verbatim raises on purpose, in one table: what it means, what the caller should do, and how it travels.
 * In: a code and its data. Out: `VerbatimError`, the one class with codes.
 */
import { z } from 'zod'

/** tRPC's name of each HTTP status that the table uses; as text, so that the contract depends on zod only. */
const trpcCodes = {
  400: 'BAD_REQUEST',
  401: 'UNAUTHORIZED',
  402: 'PAYMENT_REQUIRED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_SUPPORTED',
  409: 'CONFLICT',
  410: 'PRECONDITION_FAILED',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  422: 'UNPROCESSABLE_CONTENT',
  429: 'TOO_MANY_REQUESTS',
  500: 'INTERNAL_SERVER_ERROR',
  502: 'BAD_GATEWAY',
  503: 'SERVICE_UNAVAILABLE',
  504: 'GATEWAY_TIMEOUT',
} as const

type HttpStatus = keyof typeof trpcCodes

interface ErrorRow {
  readonly httpStatus: HttpStatus
  readonly trpcCode: (typeof trpcCodes)[HttpStatus]
  /** True when the same call may succeed later without being changed. */
  readonly retryable: boolean
  /** Cause, then what the caller should do. */
  readonly meaning: string
}

/** An error that the same call meets again. */
function final(httpStatus: HttpStatus, meaning: string): ErrorRow {
  return { httpStatus, trpcCode: trpcCodes[httpStatus], retryable: false, meaning }
}

/** An error after which the same call may succeed later. */
function passing(httpStatus: HttpStatus, meaning: string): ErrorRow {
  return { ...final(httpStatus, meaning), retryable: true }
}

/** The one list of error codes. A new error is a row here and the same in docs/protocol.md, section 6; a test compares them. */
export const errorTable = {
  INVALID_INPUT: final(400, 'A field is missing, unknown or malformed; data.field names it. Correct it'),
  INVALID_CURSOR: final(400, 'The cursor is malformed, of another run or list, or past the end. Begin without one'),
  UNAUTHENTICATED: final(401, 'No valid credentials came with the call. Sign in and call again'),
  BUDGET_EXCEEDED: final(
    402,
    "The day's budget is used up; data.kind tells whose. It is full again in data.retryAfterMs",
  ),
  FORBIDDEN: final(403, 'The principal lacks the scope for this call. Ask for it'),
  NOT_FOUND: final(404, 'No such endpoint or procedure. Check the path'),
  SESSION_NOT_FOUND: final(404, 'The caller has no session of this id. Create it or list the sessions'),
  MESSAGE_NOT_FOUND: final(404, 'The session has no message of this id. List the messages'),
  RUN_NOT_FOUND: final(404, 'The caller has no run of this id. Start it'),
  AGENT_NOT_FOUND: final(404, 'The server has no agent of this id. Name one that it has'),
  ATTACHMENT_NOT_FOUND: final(404, 'The caller has no attachment of this id, or it is gone. Upload the file again'),
  METHOD_NOT_ALLOWED: final(405, 'The endpoint does not take this HTTP method. Use the one it names'),
  SESSION_BUSY: passing(
    409,
    'A run is active in the session (data.activeRunId), or too many calls write to it (data.kind). Wait, queue or cancel',
  ),
  RUN_ID_REUSED: final(409, 'The run id was used for another prompt. Make a new id for a new prompt'),
  RUN_NOT_RETRYABLE: final(409, 'The session has gone on after the run, or it has no answer. Start a new run'),
  MESSAGE_ID_REUSED: final(409, 'The message id was used for another message of the session. Make a new id'),
  ATTACHMENT_ID_REUSED: final(409, 'The attachment id was used for another file. Make a new id'),
  HEAD_MOVED: final(409, 'Another message was appended first. Load the history again, then append'),
  PRINCIPAL_ERASING: passing(
    409,
    "All of the caller's data is being erased. Wait data.retryAfterMs, then call again: the caller begins anew",
  ),
  CURSOR_EXPIRED: final(410, 'The events past the cursor are no longer kept. Read the stored message'),
  SESSION_DELETED: final(410, 'The session was deleted, with its messages and runs. Make a new one with another id'),
  CONTENT_UNREADABLE: final(
    410,
    'The stored content cannot be decrypted any more; data.kind tells why. Delete the session and make a new one',
  ),
  PAYLOAD_TOO_LARGE: final(413, 'The request body is over data.maxBytes. Send less'),
  MESSAGE_TOO_LARGE: final(413, 'A prompt or answer is over data.maxBytes. Shorten or split it'),
  TOO_MUCH_DATA: final(
    413,
    'The run has emitted as much data as it may (data.kind: events or bytes). Emit less often, or less at once',
  ),
  UNSUPPORTED_MEDIA_TYPE: final(415, 'Bodies are JSON only. Send content-type: application/json'),
  ATTACHMENT_REFUSED: final(
    422,
    'No such file is taken here; data.kind tells why: type, size, pages, unreadable, empty or count. Send another',
  ),
  RATE_LIMITED: passing(429, 'Too many calls. Wait data.retryAfterMs, then call again'),
  INTERNAL: final(500, 'A fault of the server, masked; report data.correlationId'),
  INVALID_CONFIGURATION: final(
    500,
    'An option of the server is wrong or contradicts another. Correct it and start again',
  ),
  UNSUPPORTED_DEPLOYMENT: final(500, 'MongoDB cannot serve Verbatim as it runs. Do what the message says'),
  PROVIDER_REFUSED: final(
    502,
    "The model's provider refuses the request as it is (credentials, model, size); data.kind tells. Correct the agent",
  ),
  OUTPUT_INVALID: passing(
    502,
    "The answer is not what the agent's output schema asks for; data.kind tells why. Its text is kept. Start a new run",
  ),
  PROVIDER_ERROR: passing(502, "The model's provider refused or broke off. Start a new run"),
  UNAVAILABLE: passing(503, 'The database is away or the server is stopping. Wait data.retryAfterMs, then call again'),
  UNSUPPORTED_VERSION: passing(
    503,
    'A newer server has stored this, and this server leaves it alone. Call again; the operator upgrades this server',
  ),
  RUN_FENCED: passing(503, 'Another process took the run over. Follow it: it ends there'),
  RUN_TIMEOUT: passing(
    504,
    'The model was silent or slow for data.timeoutMs (data.kind tells which wait). Start a new run',
  ),
} as const satisfies Record<string, ErrorRow>

/** A code of {@link errorTable}. */
export type ErrorCode = keyof typeof errorTable

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

  constructor(
    code: ErrorCode,
    message: string = errorTable[code].meaning,
    options: { data?: ErrorData; cause?: unknown } = {},
  ) {
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
  if (found === undefined) throw new VerbatimError(code)
  return found
}

/** What may be logged of an error: its code or its kind, because the message might hold a secret or a prompt. */
export function reasonOf(error: unknown): string {
  if (isVerbatimError(error)) return error.code
  return error instanceof Error ? error.name : typeof error
}
