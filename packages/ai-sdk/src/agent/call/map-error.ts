/**
 * What the AI SDK and its providers throw becomes one `PROVIDER_ERROR`, or `PROVIDER_REFUSED` when trying again cannot help.
 * Nothing of the provider's body, of the request or of the credentials goes along, not even as a cause.
 */
import { APICallError, JSONParseError, LoadAPIKeyError, LoadSettingError, NoSuchModelError } from 'ai'
import { InvalidPromptError, InvalidResponseDataError, NoOutputGeneratedError, TypeValidationError } from 'ai'
import { UnsupportedFunctionalityError } from 'ai'
import { isVerbatimError } from '@verbatim/core'
import type { VerbatimError } from '@verbatim/core'
import { malformed, mapRequestError, providerError } from '@verbatim/core/agent-kit'
import type { Clock } from '@verbatim/core/server'

export function toProviderError(error: unknown, clock: Clock): VerbatimError {
  if (isVerbatimError(error)) return error
  if (APICallError.isInstance(error)) return mapCallError(error, clock)
  if (isClientFault(error)) return providerError('client')
  if (NoSuchModelError.isInstance(error)) return providerError('not_found')
  if (UnsupportedFunctionalityError.isInstance(error) || InvalidPromptError.isInstance(error)) {
    return providerError('invalid_request')
  }
  if (JSONParseError.isInstance(error)) return malformed('data')
  if (TypeValidationError.isInstance(error) || InvalidResponseDataError.isInstance(error)) return malformed('event')
  if (NoOutputGeneratedError.isInstance(error)) return providerError('cut')
  const said = toStatus(error)
  return said === undefined ? providerError('cut') : mapStatus(said, { message: messageOf(error), clock })
}

function isClientFault(error: unknown): boolean {
  return LoadAPIKeyError.isInstance(error) || LoadSettingError.isInstance(error)
}

function mapCallError(error: APICallError, clock: Clock): VerbatimError {
  const { statusCode, responseHeaders, responseBody = '' } = error
  // An answer that began well: the connection broke, or it is not the provider's protocol.
  if (statusCode !== undefined && statusCode < 400) return error.isRetryable ? providerError('cut') : malformed('body')
  if (statusCode === undefined) return providerError('network')
  if (statusCode === 429 && /insufficient_quota/.test(responseBody))
    return providerError('billing', { providerStatus: 429 })
  return mapStatus(statusCode, { message: `${error.message} ${responseBody}`, headers: responseHeaders, clock })
}

interface Said {
  readonly message: string
  readonly headers?: Record<string, string> | undefined
  readonly clock: Clock
}

/** Through the one table of what a status means. */
function mapStatus(status: number, { message, headers = {}, clock }: Said): VerbatimError {
  return mapRequestError(Object.assign(new Error(message), { status, headers: new Headers(headers) }), clock)
}

/** What providers name their errors, where one comes in the middle of a stream and has no status. */
const statusOfName: Readonly<Record<string, number>> = {
  invalid_request_error: 400,
  invalid_prompt: 400,
  context_length_exceeded: 400,
  authentication_error: 401,
  permission_error: 403,
  not_found_error: 404,
  request_too_large: 413,
  rate_limit_error: 429,
  rate_limit_exceeded: 429,
  api_error: 500,
  server_error: 500,
  internal_server_error: 500,
  timeout_error: 504,
  overloaded_error: 529,
}

/** Of an error that the provider sent within its stream; undefined for a connection that broke. */
function toStatus(error: unknown): number | undefined {
  if (typeof error !== 'object' || error === null) return undefined
  const { statusCode, type, code } = error as { statusCode?: unknown; type?: unknown; code?: unknown } // read by shape
  const named = [code, type].map((name) => (typeof name === 'string' ? statusOfName[name] : undefined))
  const known = named.find((status) => status !== undefined)
  if (known !== undefined) return known
  if (typeof statusCode === 'number') return statusCode
  return error instanceof Error && error.name !== 'AI_StreamProviderError' ? undefined : 500
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : ''
}
