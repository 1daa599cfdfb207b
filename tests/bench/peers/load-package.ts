import { createRequire } from 'node:module'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'

/** A package that is installed in `folder`; undefined when it is not. */
export async function loadPackage<TModule>(folder: string, name: string): Promise<TModule | undefined> {
  try {
    const path = createRequire(join(folder, 'package.json')).resolve(name)
    return (await import(pathToFileURL(path).href)) as TModule // the caller names what it uses of it
  } catch {
    return undefined
  }
}
