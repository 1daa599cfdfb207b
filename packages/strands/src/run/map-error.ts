/**
 * What Strands or its model throws becomes one typed error. The words of a provider may hold a prompt or a secret: they go no further.
 */
import {
  ContextWindowOverflowError,
  MaxTokensError,
  ModelError,
  ModelThrottledError,
  StructuredOutputError,
} from '@strands-agents/sdk'
import { isVerbatimError, VerbatimError } from '@verbatim/core'
import type { ErrorData } from '@verbatim/core'

/** Kinds of a failure, as `data.kind` tells them: the same words as `claude()` has, where there is one. */
const kinds = {
  network: { code: 'PROVIDER_ERROR', message: 'The model could not be reached or broke off; start a new run' },
  malformed: { code: 'PROVIDER_ERROR', message: 'The model sent something that is not its protocol; start a new run' },
  empty: { code: 'PROVIDER_ERROR', message: 'The model ended without an answer; start a new run' },
  rate_limit: {
    code: 'PROVIDER_ERROR',
    message: 'The rate limit at the provider is reached; wait and start a new run',
  },
  server_error: { code: 'PROVIDER_ERROR', message: 'The provider failed; wait and start a new run' },
  too_large: {
    code: 'PROVIDER_REFUSED',
    message:
      'The conversation is longer than the model takes; give the agent a conversation manager, or start a new session',
  },
  max_tokens: {
    code: 'PROVIDER_REFUSED',
    message: 'The model used all its tokens before it said anything; raise maxTokens or ask for less',
  },
  max_cycles: {
    code: 'PROVIDER_REFUSED',
    message: 'The agent reached one of its limits before it had an answer; raise its limits or ask for less',
  },
  credentials: { code: 'PROVIDER_REFUSED', message: 'The provider refused the credentials; check them' },
  refused: { code: 'PROVIDER_REFUSED', message: 'The provider refused the request; check the options of the agent' },
  interrupt: {
    code: 'PROVIDER_REFUSED',
    message:
      'The agent waits for the answer of a person, and a run cannot ask for one; take the interrupt out of the agent',
  },
  checkpoint: {
    code: 'PROVIDER_REFUSED',
    message: 'The agent stopped at a checkpoint; turn checkpointing off, the run is durable without it',
  },
} as const

/** A failure of the agent, by its kind. */
export function agentError(kind: keyof typeof kinds, data: ErrorData = {}): VerbatimError {
  const { code, message } = kinds[kind]
  return new VerbatimError(code, message, { data: { kind, ...data } })
}

/** The typed error for what the agent's stream threw; anything else than a failure of the model comes back as it is. */
export function mapAgentError(error: unknown): unknown {
  const typed = causesOf(error).find(isVerbatimError)
  if (typed !== undefined) return typed
  if (error instanceof ModelThrottledError) return agentError('rate_limit')
  if (error instanceof ContextWindowOverflowError) return agentError('too_large')
  if (error instanceof MaxTokensError) return agentError('max_tokens')
  if (error instanceof StructuredOutputError) {
    return new VerbatimError('OUTPUT_INVALID', undefined, { data: { kind: 'schema' } })
  }
  if (!(error instanceof ModelError)) return error
  const status = causesOf(error)
    .map(statusOf)
    .find((found) => found !== undefined)
  if (status !== undefined) return agentError(kindOfStatus(status), { providerStatus: status })
  return agentError(causesOf(error).some((cause) => cause instanceof SyntaxError) ? 'malformed' : 'network')
}

const maxCauses = 8

function causesOf(error: unknown): unknown[] {
  const causes: unknown[] = []
  for (let cause = error; cause !== undefined && causes.length < maxCauses;) {
    causes.push(cause)
    cause = cause instanceof Error ? cause.cause : undefined
  }
  return causes
}

/** By shape: the SDKs of AWS, Anthropic and OpenAI, of whichever copy. */
function statusOf(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('status' in error && typeof error.status === 'number') return error.status
  if (!('$metadata' in error) || typeof error.$metadata !== 'object' || error.$metadata === null) return undefined
  const { $metadata: metadata } = error
  return 'httpStatusCode' in metadata && typeof metadata.httpStatusCode === 'number'
    ? metadata.httpStatusCode
    : undefined
}

function kindOfStatus(status: number): keyof typeof kinds {
  if (status === 429) return 'rate_limit'
  if (status === 401 || status === 403) return 'credentials'
  if (status === 413) return 'too_large'
  return status >= 500 || status === 408 || status === 409 ? 'server_error' : 'refused'
}
