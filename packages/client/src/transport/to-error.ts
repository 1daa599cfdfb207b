/** Every way a call can fail becomes a `VerbatimError` here, so that callers look at one `code`. */
import { errorTable, isTransient, isVerbatimError, VerbatimError } from '@verbatim/core'
import type { ErrorCode, ErrorData } from '@verbatim/core'
import type { Transformer } from './transformer.ts'

/** The error of a tRPC error shape (`{ message, data: { httpStatus, verbatim } }`), however little of it is there. */
export function errorOfShape(shape: unknown): VerbatimError {
  const data = fieldOf(shape, 'data')
  return fromWire(fieldOf(data, 'verbatim')) ?? errorOfStatus(fieldOf(data, 'httpStatus'), { cause: shape })
}

/** {@link errorOfAnswer}, of an answer whose body is not read yet. */
export async function errorOfResponse(response: Response, transformer: Transformer): Promise<VerbatimError> {
  const text = await response.text().catch(() => '') // the status alone says enough when the body breaks
  return errorOfAnswer(response, text, transformer)
}

/**
 * The error of an HTTP answer that is not what was asked for: ours, in tRPC's shape or in that of the plain endpoints, or one of
 * a gateway in between, of which only the status is sure.
 */
export function errorOfAnswer({ status, headers }: Response, text: string, { decode }: Transformer): VerbatimError {
  const error = fieldOf(parseJson(text), 'error')
  const own = verbatimOf(error) ?? verbatimOf(decode(error)) ?? ownError(error)
  return own ?? errorOfStatus(status, { retryAfterMs: retryAfterOf(headers.get('retry-after')), cause: { status } })
}

/** The error of a plain endpoint. A gateway may use the same fields, but has none of our codes. */
function ownError(error: unknown): VerbatimError | undefined {
  const code = fieldOf(error, 'code')
  return typeof code === 'string' && isErrorCode(code) ? fromWire(error) : undefined
}

function verbatimOf(shape: unknown): VerbatimError | undefined {
  return fromWire(fieldOf(fieldOf(shape, 'data'), 'verbatim'))
}

/** `error` as a {@link VerbatimError}; what is not one is a failed request, so `UNAVAILABLE`. */
export function toVerbatimError(error: unknown): VerbatimError {
  if (isVerbatimError(error)) return error
  const cause = fieldOf(error, 'cause')
  if (isVerbatimError(cause)) return cause // of a raw call
  return new VerbatimError('UNAVAILABLE', 'The server could not be reached', { cause: error })
}

/** True when `error` is worth another attempt: a fault of the server or of the way to it that passes, not of the request. */
export function isPassing(error: VerbatimError): boolean {
  // A crowd in front of a session passes soon; a run that is active there may take minutes.
  const isCrowd = error.code === 'SESSION_BUSY' && error.data.kind === 'contention'
  return error.code === 'RATE_LIMITED' || isCrowd || isTransient(error)
}

const codeOfStatus: Readonly<Record<number, ErrorCode>> = {
  400: 'INVALID_INPUT',
  401: 'UNAUTHENTICATED',
  403: 'FORBIDDEN',
  404: 'NOT_FOUND',
  405: 'METHOD_NOT_ALLOWED',
  410: 'CURSOR_EXPIRED',
  413: 'PAYLOAD_TOO_LARGE',
  415: 'UNSUPPORTED_MEDIA_TYPE',
  429: 'RATE_LIMITED',
}

function errorOfStatus(status: unknown, detail: { retryAfterMs?: number | undefined; cause: unknown }): VerbatimError {
  const known = typeof status === 'number' ? codeOfStatus[status] : undefined
  const isRefused = typeof status === 'number' && status >= 400 && status < 500 && status !== 408 && status !== 425
  const code = known ?? (isRefused ? 'INVALID_INPUT' : 'UNAVAILABLE')
  const data: ErrorData = detail.retryAfterMs === undefined ? {} : { retryAfterMs: detail.retryAfterMs }
  return new VerbatimError(code, `The server answered ${String(status)} without Verbatim's error`, {
    data,
    cause: detail.cause,
  })
}

/** Not the schema: a newer server may send a code or a field that this client does not know, and the rest is still true. */
function fromWire(wire: unknown): VerbatimError | undefined {
  const code = fieldOf(wire, 'code')
  const message = fieldOf(wire, 'message')
  if (typeof code !== 'string' || typeof message !== 'string') return undefined
  const data = fieldOf(wire, 'data')
  return new VerbatimError(isErrorCode(code) ? code : unknownCode(wire), message, {
    data: typeof data === 'object' && data !== null ? data : {},
  })
}

function unknownCode(wire: unknown): ErrorCode {
  return fieldOf(wire, 'retryable') === true ? 'UNAVAILABLE' : 'INTERNAL'
}

function isErrorCode(code: string): code is ErrorCode {
  return Object.hasOwn(errorTable, code)
}

function retryAfterOf(header: string | null): number | undefined {
  return header !== null && /^\d{1,6}$/.test(header) ? Number(header) * 1000 : undefined
}

/** What JSON says; undefined for other text. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined // a proxy's page; the status says what there is to say
  }
}

/** The field of an object; undefined where there is none. */
export function fieldOf(value: unknown, name: string): unknown {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>)[name] : undefined // parse border
}
