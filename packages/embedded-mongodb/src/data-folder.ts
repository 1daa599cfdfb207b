import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dbPathServedAt, withAdmin } from './admin.ts'
import { isListening } from './free-port.ts'
import { dbPathOf, type MongodProcess } from './mongod-process.ts'
import { pollUntil } from './poll-until.ts'

/** The last server of a kept folder, as stored in it. */
type LastServer = Readonly<{ port: number; pid: number; parentPid: number }>

/** Stores which server serves the folder, so that the next start finds the port, and an orphan. */
export async function rememberServer(folder: string, { port, pid }: MongodProcess): Promise<void> {
  const last: LastServer = { port, pid, parentPid: process.pid }
  const path = fileOf(folder)
  await writeFile(`${path}.new`, `${JSON.stringify(last)}\n`)
  await rename(`${path}.new`, path)
}

/** The port of the folder's last server. */
export async function lastPort(folder: string): Promise<number | undefined> {
  return (await lastServer(folder))?.port
}

/**
 * Shuts down a server that outlived the process that started it, and waits for its end.
 * @throws one sentence when that process lives: a folder has one owner at a time.
 */
export async function releaseFolder(folder: string, signal: AbortSignal): Promise<void> {
  const last = await lastServer(folder)
  if (last === undefined || (await dbPathServedAt(last.port)) !== dbPathOf(folder)) return
  if (isAlive(last.parentPid)) {
    throw new Error(`${folder} is in use by process ${last.parentPid}; stop that one first, or choose another folder`)
  }
  // The server closes the connection instead of answering; only its end proves the shutdown.
  await withAdmin(last.port, async (admin) => await admin.command({ shutdown: 1, force: true })).catch(() => undefined)
  await pollUntil(async () => ((await isListening(last.port)) ? undefined : true), { signal })
}

async function lastServer(folder: string): Promise<LastServer | undefined> {
  try {
    const { port, pid, parentPid } = JSON.parse(await readFile(fileOf(folder), 'utf8')) as Partial<LastServer>
    return port === undefined || pid === undefined || parentPid === undefined ? undefined : { port, pid, parentPid }
  } catch {
    return undefined // no such file, or edited by hand: the start then picks a new port
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
