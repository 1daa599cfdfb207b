/** The real local key service in a folder of its own, which a test can take away. */
import { createMongoStorage } from '@verbatim/core/mongodb'
import { openLocalKeys, systemClock } from '@verbatim/core/server'
import type { Clock, ContentEncryption, KeyService } from '@verbatim/core/server'
import type { TestDatabase } from '@verbatim/core/testing'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

export interface TestKeys extends AsyncDisposable {
  readonly keys: KeyService
  readonly keyFile: string
  readonly directory: string
  /** As if the network to the key service were cut, until it is called with `false`. */
  away(isAway: boolean): void
  /** How often the service was asked. */
  calls(): number
}

export async function openTestKeys(): Promise<TestKeys> {
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-keys-'))
  const keyFile = join(folder, 'master')
  const directory = join(folder, 'owners')
  await writeFile(keyFile, newMasterKey(), { mode: 0o600 })
  const real = await openLocalKeys({ keyFile, directory })
  let isAway = false
  let calls = 0
  const ask = async <TAnswer>(call: () => Promise<TAnswer>): Promise<TAnswer> => {
    calls++
    if (isAway) throw new Error('connect ECONNREFUSED')
    return await call()
  }
  return {
    keyFile,
    directory,
    keys: {
      current: async (owner, options) => await ask(() => real.current(owner, options)),
      find: async (id, options) => await ask(() => real.find(id, options)),
      destroy: async (owner, options) => await ask(() => real.destroy(owner, options)),
    },
    away: (now) => void (isAway = now),
    calls: () => calls,
    [Symbol.asyncDispose]: async () => await rm(folder, { recursive: true, force: true }),
  }
}

export function newMasterKey(): string {
  return `${randomBytes(32).toString('base64')}\n`
}

/** The ports of one more process over `database`, with a memory of keys of its own. */
export function otherProcess(
  database: TestDatabase,
  encryption: ContentEncryption | undefined,
  clock: Clock = systemClock,
) {
  const { client, databaseName } = database
  return createMongoStorage({ client, databaseName, clock, encryption })
}
