import { chmod, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { dbPathServedAt, withAdmin } from './admin.ts'
import { dbPathOf, type MongodProcess } from './mongod-process.ts'
import { pollUntil } from './poll-until.ts'
import { isListening, isSocket, uriOf } from './server-address.ts'
import type { ServerAddress } from './server-address.ts'

/** The last server of a kept folder, as stored in it. */
type LastServer = Readonly<{ address: ServerAddress; pid: number; parentPid: number }>

/** Makes the folder for this user only: it holds the data, the log and the socket. */
export async function makePrivate(folder: string): Promise<void> {
  await mkdir(dbPathOf(folder), { recursive: true, mode: 0o700 })
  await chmod(folder, 0o700)
}

/**
 * Stores which server serves the folder, so that the next start finds an orphan, and its owner the way to connect (`uri`). Removes
 * the sockets of servers that were killed.
 */
export async function rememberServer(folder: string, { address, pid }: MongodProcess): Promise<void> {
  const before = await lastServer(folder)
  const last: LastServer = { address, pid, parentPid: process.pid }
  const path = fileOf(folder)
  await writeFile(`${path}.new`, `${JSON.stringify({ ...last, uri: uriOf(address) })}\n`, { mode: 0o600 })
  await rename(`${path}.new`, path)
  const left = (await readdir(folder)).filter(isSocket).map((name) => join(folder, name))
  for (const socket of left) if (socket !== address) await rm(socket, { force: true })
  if (before !== undefined && before.address !== address) await removeSocketFolder(before.address, folder)
}

/** The folder that was made for a socket whose path in the data folder would have been too long. */
export async function removeSocketFolder(address: ServerAddress, folder: string): Promise<void> {
  if (isSocket(address) && dirname(address) !== folder) await rm(dirname(address), { recursive: true, force: true })
}

/**
 * Shuts down a server that outlived the process that started it, and waits for its end.
 * @throws one sentence when that process lives: a folder has one owner at a time.
 */
export async function releaseFolder(folder: string, signal: AbortSignal): Promise<void> {
  const last = await lastServer(folder)
  if (last === undefined || (await dbPathServedAt(last.address)) !== dbPathOf(folder)) return
  if (isAlive(last.parentPid)) {
    throw new Error(`${folder} is in use by process ${last.parentPid}; stop that one first, or choose another folder`)
  }
  // The server closes the connection instead of answering; only its end proves the shutdown.
  await withAdmin(last.address, async (admin) => await admin.command({ shutdown: 1, force: true })).catch(
    () => undefined,
  )
  await pollUntil(async () => ((await isListening(last.address)) ? undefined : true), { signal })
}

async function lastServer(folder: string): Promise<LastServer | undefined> {
  try {
    const stored = JSON.parse(await readFile(fileOf(folder), 'utf8')) as Partial<LastServer & { port: number }>
    // The first version listened on a port.
    const { pid, parentPid, address = stored.port && `127.0.0.1:${stored.port}` } = stored
    return !address || pid === undefined || parentPid === undefined ? undefined : { address, pid, parentPid }
  } catch {
    return undefined // no such file, or edited by hand
  }
}

function fileOf(folder: string): string {
  return join(folder, 'server.json')
}

/** Signal 0 checks that the process exists; EPERM means that it does, under another user. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
