/**
 * Anthropic's SDK: an optional peer, because an engine with agents of other kinds does not need its 27 MB. It takes as long to load as
 * all the rest of a server, so it is loaded with the first answer.
 */
import type { Anthropic } from '@anthropic-ai/sdk'
import type { Stream } from '@anthropic-ai/sdk/streaming'
import { VerbatimError } from '../../contract/errors.ts'

interface Sdk {
  readonly Anthropic: typeof Anthropic
  readonly Stream: typeof Stream
}

let loading: Promise<Sdk> | undefined

/** @throws VerbatimError `INVALID_CONFIGURATION` when the package is not installed */
export async function loadSdk(): Promise<Sdk> {
  loading ??= load()
  return await loading
}

async function load(): Promise<Sdk> {
  try {
    const [{ Anthropic }, { Stream }] = await Promise.all([
      import('@anthropic-ai/sdk'),
      import('@anthropic-ai/sdk/streaming'),
    ])
    return { Anthropic, Stream }
  } catch (cause) {
    throw isMissing(cause) ? notInstalled(cause) : cause
  }
}

/** Looks without loading, so that a program without the package fails when it starts. @throws as {@link loadSdk} */
export function requireSdk(): void {
  try {
    import.meta.resolve('@anthropic-ai/sdk')
  } catch (cause) {
    if (isMissing(cause)) throw notInstalled(cause) // a bundler's `resolve` may be none: then the first answer tells
  }
}

function isMissing(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND'
}

function notInstalled(cause: unknown): VerbatimError {
  const message = 'claude() needs the package @anthropic-ai/sdk; run npm install @anthropic-ai/sdk'
  return new VerbatimError('INVALID_CONFIGURATION', message, { cause })
}
