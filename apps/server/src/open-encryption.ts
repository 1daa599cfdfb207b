/** Opens the keys of content, when the environment names them. */
import { openLocalKeys } from '@verbatim/core/server'
import type { ContentEncryption, Logger, WrappedKeys } from '@verbatim/core/server'
import type { Environment } from './env.ts'

/** @throws VerbatimError `INVALID_CONFIGURATION`: one sentence that names the file or the folder */
export async function openEncryption(
  env: Environment,
  options: { readonly logger: Logger; readonly signal: AbortSignal },
): Promise<ContentEncryption | undefined> {
  const { VERBATIM_KEY_FILE: keyFile, VERBATIM_KEY_DIR: directory } = env
  if (keyFile === undefined || directory === undefined) return undefined
  const keys = await openLocalKeys({ keyFile, directory })
  void rewrap(keys, options)
  return { keys, sealNew: env.VERBATIM_ENCRYPTION !== 'off' }
}

/** Beside the server: keys that an older line of the key file wraps are read all the same. Never rejects. */
async function rewrap(keys: WrappedKeys, { logger, signal }: { logger: Logger; signal: AbortSignal }): Promise<void> {
  try {
    const count = await keys.rewrapAll({ signal })
    if (count > 0) logger.info({ count }, 'Keys are wrapped with the new master key; the old line may go')
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error)
    if (!signal.aborted) logger.warn({ reason }, 'Keys could not be wrapped with the new master key')
  }
}
