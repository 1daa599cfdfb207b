import { DryMongoBinary, MongoBinary } from 'mongodb-memory-server-core'
import type { Environment } from './environment.ts'

const origin = 'https://fastdl.mongodb.org'

/** mongodb-memory-server's cache, or its download (it reads its own MONGOMS_* settings). */
export async function downloadMongod(env: Environment): Promise<readonly string[]> {
  const cached = await DryMongoBinary.locateBinary(DryMongoBinary.getEnsuredOptions())
  if (cached !== undefined) return [cached]
  if (usesOrigin(env)) await assertReachable()
  return [await MongoBinary.getPath()]
}

/** A proxy or a mirror may answer where we cannot look. */
function usesOrigin(env: Environment): boolean {
  const elsewhere = ['HTTPS_PROXY', 'https_proxy', 'HTTP_PROXY', 'http_proxy', 'MONGOMS_DOWNLOAD_MIRROR']
  return elsewhere.every((name) => (env[name] ?? '') === '')
}

/** Offline, the download gives up only after 7 s, or never when packets are dropped: ask first. */
async function assertReachable(): Promise<void> {
  try {
    await fetch(origin, { method: 'HEAD', signal: AbortSignal.timeout(5000) })
  } catch (error) {
    throw new Error(`${origin} cannot be reached`, { cause: error })
  }
}
