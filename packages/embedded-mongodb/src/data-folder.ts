import { readFile, rename, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { dbPathServedAt, withAdmin } from './admin.ts'
import { isListening } from './free-port.ts'
import { dbPathOf, type MongodProcess } from './mongod-process.ts'
import { pollUntil } from './poll-until.ts'

/** Who served a kept folder last, as stored in it. */
type LastServer = Readonly<{ port: number; pid: number; parentPid: number }>

/** Stores who serves the folder now, so that the next start finds the port, and an orphan. */
export async function rememberServer(folder: string, { port, pid }: MongodProcess): Promise<void> {
  const last: LastServer = { port, pid, parentPid: process.pid }
  const path = fileOf(folder)
  await writeFile(`${path}.new`, `${JSON.stringify(last)}\n`)
  await rename(`${path}.new`, path)
}

/** The port the folder was last served on. */
export async function lastPort(folder: string): Promise<number | undefined> {
  return (await lastServer(folder))?.port
}

/**
 * Ends a server that outlived the process that started it, cleanly, and waits until it is gone.
 * @throws one sentence when that process lives: a folder has one owner at a time.
 */
export async function releaseFolder(folder: string, signal: AbortSignal): Promise<void> {
  const last = await lastServer(folder)
  if (last === undefined || (await dbPathServedAt(last.port)) !== dbPathOf(folder)) return
  if (isAlive(last.parentPid)) {
    throw new Error(`${folder} is in use by process ${last.parentPid}; stop that one first, or choose another folder`)
  }
  // The server hangs up instead of answering: the only proof is that it is gone.
  await withAdmin(last.port, async (admin) => await admin.command({ shutdown: 1, force: true })).catch(() => undefined)
  await pollUntil(async () => ((await isListening(last.port)) ? undefined : true), { signal })
}

async function lastServer(folder: string): Promise<LastServer | undefined> {
  const text = await readFile(fileOf(folder), 'utf8').catch(() => undefined)
  if (text === undefined) return undefined
  try {
    // This package writes the file as a whole; a wrong edit by hand costs at worst a search for a new port.
    const last = JSON.parse(text) as Partial<LastServer> | null
    const { port, pid, parentPid } = last ?? {}
    return port === undefined || pid === undefined || parentPid === undefined ? undefined : { port, pid, parentPid }
  } catch {
    // Not JSON: as good as no file.
    return undefined
  }
}

function fileOf(folder: string): string {
  return join(folder, 'server.json')
}

/** Signal 0 asks whether the process is there; EPERM is a yes, of another user. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error instanceof Error && 'code' in error && error.code === 'EPERM'
  }
}
