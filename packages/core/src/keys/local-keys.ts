/** The simple key service: a master key in a file, and a folder of owners' keys. */
import { VerbatimError } from '../contract/errors.ts'
import { openKeyDirectory } from './key-directory.ts'
import { readKeyFile } from './key-file.ts'
import { createWrappedKeys } from './wrapped-keys.ts'
import type { WrappedKeys } from './wrapped-keys.ts'

/**
 * Opens the keys that processes of one machine share.
 *
 * @param input.keyFile see {@link readKeyFile}
 * @param input.directory see {@link openKeyDirectory}
 * @throws VerbatimError `INVALID_CONFIGURATION`, also when the file holds other master keys than those that wrapped the folder's
 */
export async function openLocalKeys(input: { keyFile: string; directory: string }): Promise<WrappedKeys> {
  const wrapper = await readKeyFile(input.keyFile)
  const store = await openKeyDirectory(input.directory)
  const signal = new AbortController().signal
  const { value: name } = await store.names({ signal })[Symbol.asyncIterator]().next()
  const key = typeof name === 'string' ? await store.read(name, { signal }) : undefined
  if (key === undefined) return createWrappedKeys({ store, wrapper })
  try {
    await wrapper.unwrap(key.wrapped, key.id, { signal, wrapperId: key.wrapperId })
  } catch (cause) {
    const message = `The key file ${input.keyFile} does not open the keys in ${input.directory}; name the file they were made with`
    throw new VerbatimError('INVALID_CONFIGURATION', message, { cause })
  }
  return createWrappedKeys({ store, wrapper })
}
