/** A real mongod that asks for a password, as production servers do. */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { findMongod } from '@verbatim/embedded-mongodb'
import { freePort } from '@verbatim/test-kit/http'
import { MongoClient } from 'mongodb'
import { vi } from 'vitest'
import { env } from './env.ts'

export interface GuardedMongod extends AsyncDisposable {
  /** The URI of a user of the `admin` database. */
  uriOf(user: string, password: string): string
  /** As a user who may do everything. */
  readonly root: MongoClient
}

export async function startGuardedMongod(): Promise<GuardedMongod> {
  const folder = await mkdtemp(join(tmpdir(), 'verbatim-guarded-'))
  const keyFile = join(folder, 'key')
  await writeFile(keyFile, randomBytes(48).toString('base64'), { mode: 0o400 })
  const port = await freePort()
  const args = ['--dbpath', folder, '--port', String(port), '--bind_ip', '127.0.0.1', '--replSet', 'rs0']
  const limits = ['--keyFile', keyFile, '--wiredTigerCacheSizeGB', '0.25', '--oplogSize', '64', '--quiet']
  const mongod = spawn(await findMongod({ env }), [...args, ...limits], { stdio: 'ignore' })
  const stop = async () => {
    const exited = once(mongod, 'exit')
    mongod.kill('SIGKILL')
    await exited
    await rm(folder, { recursive: true, force: true })
  }
  const host = `127.0.0.1:${port}`
  const uriOf = (user: string, password: string) =>
    `mongodb://${user}:${encodeURIComponent(password)}@${host}/?replicaSet=rs0&authSource=admin`
  try {
    await createRoot(host)
    const root = await new MongoClient(uriOf('root', 'root')).connect()
    return {
      uriOf,
      root,
      async [Symbol.asyncDispose]() {
        await root.close()
        await stop()
      },
    }
  } catch (error) {
    await stop()
    throw error
  }
}

/** Until there is a user, MongoDB lets its own machine make the first one. */
async function createRoot(host: string): Promise<void> {
  const client = new MongoClient(`mongodb://${host}/?directConnection=true`, { serverSelectionTimeoutMS: 30_000 })
  const admin = client.db('admin')
  try {
    await admin.command({ replSetInitiate: { _id: 'rs0', members: [{ _id: 0, host }] } })
    const requirePrimary = async () => {
      const { isWritablePrimary } = await admin.command({ hello: 1 })
      if (isWritablePrimary !== true) throw new Error('There is no primary yet')
    }
    await vi.waitFor(requirePrimary, { timeout: 30_000 })
    await admin.command({ createUser: 'root', pwd: 'root', roles: ['root'] })
  } finally {
    await client.close()
  }
}
