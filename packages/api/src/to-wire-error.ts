/**
 * Turns any failure into a typed error; the only place that masks unknown errors.
 * In: a thrown value. Out: a `VerbatimError` that is safe to show. Each failure is masked and logged once.
 */
import { TRPCError } from '@trpc/server'
import { describeIssue, errorOf, isTransient, isVerbatimError, VerbatimError } from '@verbatim/core'
import type { ErrorCode } from '@verbatim/core'
import type { Logger } from '@verbatim/core/server'
import { ZodError } from 'zod'

const masked = new WeakMap<object, VerbatimError>()

/** The error to show for `failure`: the typed one that it is or wraps, or a masked `INTERNAL` with a correlation id. */
export function verbatimErrorOf(failure: unknown): VerbatimError {
  const known = knownErrorOf(failure)
  if (known !== undefined) return known
  const key = typeof failure === 'object' && failure !== null ? failure : {}
  const before = masked.get(key)
  if (before !== undefined) return before
  const error = new VerbatimError('INTERNAL', 'Something went wrong on the server; report the correlation id', {
    data: { correlationId: crypto.randomUUID() },
  })
  masked.set(key, error)
  return error
}

/** {@link verbatimErrorOf}, with an entry in the log when it masks the failure. */
export function reportedErrorOf(
  failure: unknown,
  { logger, where }: { logger: Logger | undefined; where: string },
): VerbatimError {
  const error = verbatimErrorOf(failure)
  if (error.code === 'INTERNAL' && knownErrorOf(failure) === undefined) {
    const cause = failure instanceof TRPCError && failure.cause !== undefined ? failure.cause : failure
    logger?.error({ where, correlationId: error.data.correlationId, ...describe(cause) }, 'A call failed unexpectedly')
  }
  return error
}

/** tRPC's name of each HTTP status of the error table. */
const trpcCodes: Readonly<Record<number, TRPCError['code']>> = {
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
}

/** The error in tRPC's class. */
export function toTrpcError(
  error: VerbatimError,
  code = trpcCodes[error.httpStatus] ?? 'INTERNAL_SERVER_ERROR',
): TRPCError {
  return new TRPCError({ code, message: error.message, cause: error })
}

/**
 * The error that ends a subscription. After a 5xx code stock clients reconnect every 3 s for ever, so only a transient fault
 * keeps one. Another fault of the server travels under a 4xx code, with the true one in `data.verbatim`.
 */
export function toSubscriptionError(error: VerbatimError): TRPCError {
  return error.httpStatus < 500 || isTransient(error) ? toTrpcError(error) : toTrpcError(error, 'PRECONDITION_FAILED')
}

function knownErrorOf(failure: unknown): VerbatimError | undefined {
  if (isVerbatimError(failure)) return failure
  if (failure instanceof ZodError) return invalidInput(failure)
  if (!(failure instanceof Error) || failure.name !== 'TRPCError') return undefined
  if (isVerbatimError(failure.cause)) return failure.cause
  const { code } = failure as TRPCError // recognised by its name, since tRPC may be loaded twice
  if (failure.cause instanceof ZodError && code === 'BAD_REQUEST') return invalidInput(failure.cause)
  // tRPC refused the input before it read a field, so the field is the input itself.
  if (code === 'BAD_REQUEST' || code === 'PARSE_ERROR') {
    return new VerbatimError('INVALID_INPUT', 'The input is not JSON of this call', { data: { field: '' } })
  }
  const meant = codeOfTrpc[code]
  return meant === undefined ? undefined : errorOf(meant)
}

/** tRPC's own refusals, before a procedure ran. Their messages may quote the input, so the client receives the table's text. */
const codeOfTrpc: Partial<Record<TRPCError['code'], ErrorCode>> = {
  UNAUTHORIZED: 'UNAUTHENTICATED',
  FORBIDDEN: 'FORBIDDEN',
  NOT_FOUND: 'NOT_FOUND',
  METHOD_NOT_SUPPORTED: 'METHOD_NOT_ALLOWED',
  PAYLOAD_TOO_LARGE: 'PAYLOAD_TOO_LARGE',
  UNSUPPORTED_MEDIA_TYPE: 'UNSUPPORTED_MEDIA_TYPE',
  TOO_MANY_REQUESTS: 'RATE_LIMITED',
  SERVICE_UNAVAILABLE: 'UNAVAILABLE',
}

function invalidInput(error: ZodError): VerbatimError {
  const { field, reason } = describeIssue(error.issues[0])
  return new VerbatimError('INVALID_INPUT', field === '' ? reason : `${field}: ${reason}`, { data: { field } })
}

/** The kind and place of an unknown error, for the operator. Its message may hold a prompt or a secret, so it stays out. */
function describe(cause: unknown): { error: string; stack?: string } {
  if (!(cause instanceof Error)) return { error: typeof cause }
  const frames = (cause.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line))
  return {
    error: cause.name,
    stack: frames
      .slice(0, 12)
      .map((line) => line.trim())
      .join(' | '),
  }
}
