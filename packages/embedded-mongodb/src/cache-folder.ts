import { homedir } from 'node:os'
import { join } from 'node:path'
import type { Environment } from './environment.ts'

/** Where servers we fetched are kept, per user. */
function cacheFolder(env: Environment): string {
  const asked = env['XDG_CACHE_HOME'] ?? ''
  if (asked !== '') return join(asked, 'verbatim', 'mongod')
  if (process.platform === 'darwin') return join(homedir(), 'Library', 'Caches', 'verbatim', 'mongod')
  if (process.platform === 'win32') return join(env['LOCALAPPDATA'] ?? homedir(), 'verbatim', 'mongod')
  return join(homedir(), '.cache', 'verbatim', 'mongod')
}

/** Where the server of the Python wheel goes. A name is never written twice with other content. */
export function wheelMongod(env: Environment): string {
  return join(cacheFolder(env), 'mongod-6.0.5')
}

export function cachedMongod(env: Environment): readonly string[] {
  return [wheelMongod(env)]
}
