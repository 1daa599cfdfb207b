/**
 * What the SDK throws becomes one `PROVIDER_ERROR`, or `PROVIDER_REFUSED` when trying again cannot help: an error that a user
 * may read, with its kind, the provider's status and what to do.
 * Nothing of the provider's body, of the request or of the credentials goes along, not even as a cause.
 */
import { z } from 'zod'
import { isVerbatimError, VerbatimError } from '../../contract/errors.ts'
import type { ErrorData } from '../../contract/errors.ts'
import type { Clock } from '../../ports/clock.ts'

interface KindRow {
  readonly isRetryable: boolean
  readonly message: string
}

/** Kinds of a provider's failure, as `data.kind` tells them. */
const kinds = {
  network: { isRetryable: true, message: 'The provider could not be reached; check the network and the base URL' },
  cut: { isRetryable: true, message: 'The provider broke off its answer; start a new run' },
  malformed: { isRetryable: true, message: 'The provider sent something that is not its protocol; start a new run' },
  empty: { isRetryable: true, message: 'The model ended without an answer; start a new run' },
  rate_limit: { isRetryable: true, message: 'The rate limit at the provider is reached; wait and start a new run' },
  overloaded: { isRetryable: true, message: 'The provider is overloaded; wait and start a new run' },
  server_error: { isRetryable: true, message: 'The provider failed; wait and start a new run' },
  invalid_request: {
    isRetryable: false,
    message:
      'The provider refused the request as invalid; check the options of the agent and the length of the session',
  },
  credentials: { isRetryable: false, message: 'The provider refused the credentials; check the API key' },
  billing: { isRetryable: false, message: 'The provider refused for its billing; check the account' },
  permission: { isRetryable: false, message: 'The provider denied access; check what the API key may use' },
  not_found: { isRetryable: false, message: 'The provider does not know the model; check its name and the base URL' },
  too_large: { isRetryable: false, message: 'The request is larger than the provider takes; start a new session' },
  thinking: {
    isRetryable: false,
    message: 'The provider refused the thinking of an earlier answer; start a new session',
  },
  compaction: {
    isRetryable: false,
    message: 'The provider refused its summary of the conversation; start a new session',
  },
  max_tokens: {
    isRetryable: false,
    message: 'The model used all its tokens before it said anything; raise maxTokens or ask for less',
  },
  limit: {
    isRetryable: false,
    message: 'A limit at the provider is reached and waiting will not lift it; check the account',
  },
  refused: { isRetryable: false, message: 'The provider refused the request; check the options of the agent' },
  client: { isRetryable: false, message: 'The client of the provider is not set up; give it an API key' },
  max_cycles: { isRetryable: false, message: 'The model asked for tools without end; raise maxCycles or ask for less' },
} as const satisfies Record<string, KindRow>

export type ProviderErrorKind = keyof typeof kinds

/** A failure of the provider. */
export function providerError(kind: ProviderErrorKind, data: ErrorData = {}): VerbatimError {
  const { isRetryable: mayPass, message } = kinds[kind]
  return new VerbatimError(mayPass ? 'PROVIDER_ERROR' : 'PROVIDER_REFUSED', message, { data: { kind, ...data } })
}

/** What the provider sent breaks its protocol at `field`. The field's name goes along, never what it held. */
export function malformed(field: string): VerbatimError {
  return providerError('malformed', { field })
}

/** A request that was too long, with the provider's own counts where it gives them. */
export class TooLongError extends VerbatimError {
  readonly tokens: number | undefined
  readonly maxTokens: number | undefined

  constructor(providerStatus: number, message: string) {
    super('PROVIDER_REFUSED', kinds.too_large.message, { data: { kind: 'too_large', providerStatus } })
    const [, tokens, maxTokens] = /(\d+) tokens? > (\d+)/.exec(message) ?? /(\d+) \+ \d+ > (\d+)/.exec(message) ?? []
    // The words of OpenAI, and of the many servers that speak its protocol.
    const [, limit, asked] = /maximum context length is (\d+) tokens.*?(\d+) tokens/s.exec(message) ?? []
    this.tokens = toCount(tokens ?? asked)
    this.maxTokens = toCount(maxTokens ?? limit)
  }
}

function toCount(digits: string | undefined): number | undefined {
  return digits === undefined ? undefined : Number(digits)
}

/** Tells whether the same model call may succeed when it is made again. */
export function isRetryable(error: VerbatimError): boolean {
  return error.code === 'PROVIDER_ERROR'
}

/** Translates what the SDK threw before it had a stream: a refusal, a broken connection, or its own want of credentials. */
export function mapRequestError(error: unknown, clock: Clock): VerbatimError {
  return mapAnswer(error, clock) ?? providerError(isClientFault(error) ? 'client' : 'network')
}

/** Translates what was thrown while a stream was read: an `error` event, a frame that is not JSON, or a broken connection. */
export function mapStreamError(error: unknown, clock: Clock): VerbatimError {
  if (isVerbatimError(error)) return error
  return mapAnswer(error, clock) ?? providerError(error instanceof SyntaxError ? 'malformed' : 'cut')
}

/** Translates an error that came as an answer's body, or as an event in it. */
export function mapErrorBody(body: unknown): VerbatimError {
  const { error } = ErrorBody.catch({}).parse(body)
  const providerStatus = statusOfType[error?.type ?? ''] ?? 500
  return refusalOf(providerStatus, error?.message ?? '')
}

const ErrorBody = z.object({
  error: z
    .object({ type: z.string().optional().catch(undefined), message: z.string().optional().catch(undefined) })
    .optional(),
})

/** An error that the provider itself told; undefined when it did not come to that. */
function mapAnswer(error: unknown, clock: Clock): VerbatimError | undefined {
  if (!(error instanceof Error)) return undefined
  const headers = headersOf(error)
  const status = statusOf(error)
  if (status === undefined) return undefined
  const refusal = refusalOf(status, error.message)
  const isFinal = isRetryable(refusal) && headers?.get('x-should-retry') === 'false'
  const retryAfterMs = headers === undefined ? undefined : retryAfterOf(headers, clock)
  if (!isFinal && retryAfterMs === undefined) return refusal
  return providerError(isFinal ? 'limit' : kindOfStatus(status), {
    providerStatus: status,
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  })
}

/** Some refusals have a remedy, and only their words tell them from others. The words are read here and go no further. */
function refusalOf(status: number, message: string): VerbatimError {
  const isRefused = status === 400 || status === 413
  if (status === 413 || (isRefused && /too long|context (?:limit|length|window)|too many tokens/i.test(message))) {
    return new TooLongError(status, message)
  }
  if (isRefused && /compaction/i.test(message)) return providerError('compaction', { providerStatus: status })
  if (isRefused && /thinking/i.test(message) && /signature|block/i.test(message)) {
    return providerError('thinking', { providerStatus: status })
  }
  return providerError(kindOfStatus(status), { providerStatus: status })
}

/** Statuses of the errors that come as an event, which have none of their own. */
const statusOfType: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  authentication_error: 401,
  billing_error: 402,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  api_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
}

// By shape, not by class: the caller's client may be of another copy of the SDK.
function statusOf(error: Error): number | undefined {
  if ('status' in error && typeof error.status === 'number') return error.status
  if ('type' in error && typeof error.type === 'string') return statusOfType[error.type] ?? 500
  return undefined
}

function headersOf(error: Error): Headers | undefined {
  return 'headers' in error && error.headers instanceof Headers ? error.headers : undefined
}

/** The SDK could not make a request at all, for want of credentials. */
function isClientFault(error: unknown): boolean {
  return error instanceof Error && !error.name.startsWith('API')
}

function kindOfStatus(status: number): ProviderErrorKind {
  switch (status) {
    case 400:
    case 422:
      return 'invalid_request'
    case 401:
      return 'credentials'
    case 402:
      return 'billing'
    case 403:
      return 'permission'
    case 404:
      return 'not_found'
    case 413:
      return 'too_large'
    case 429:
      return 'rate_limit'
    case 529:
      return 'overloaded'
    // A timeout and a lock at the provider: its own SDK retries both.
    case 408:
    case 409:
      return 'server_error'
    default:
      return status >= 500 ? 'server_error' : 'refused'
  }
}

/** `retry-after` is seconds or a date; `retry-after-ms` is the SDK's finer one. */
function retryAfterOf(headers: Headers, clock: Clock): number | undefined {
  const exact = Number.parseFloat(headers.get('retry-after-ms') ?? '')
  if (exact >= 0) return exact
  const text = headers.get('retry-after') ?? ''
  if (/^\d+(\.\d+)?$/.test(text)) return Number(text) * 1_000
  const dateMs = Date.parse(text)
  return Number.isNaN(dateMs) ? undefined : Math.max(0, dateMs - clock.now().getTime())
}
