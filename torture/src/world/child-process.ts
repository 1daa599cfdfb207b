/** Child processes of the harness: they report over IPC, and none outlives it. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'

const children = new Set<ChildProcess>()
// A stopped child does not hear that we are gone.
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))

/** Starts a program of this workspace, seen from src/. */
export function startProgram(path: string, args: readonly string[] = []): ChildProcess {
  const child = fork(new URL(`../${path}`, import.meta.url), [...args], {
    execArgv: ['--conditions=verbatim-source', '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'json',
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/** The first message for which `pick` answers something. @throws when the child ends before */
export async function messageOf<TResult>(
  child: ChildProcess,
  pick: (message: unknown) => TResult | undefined,
): Promise<TResult> {
  return await new Promise<TResult>((resolve, reject) => {
    const settle = () => {
      child.off('message', onMessage)
      child.off('exit', onExit)
    }
    const onMessage = (message: unknown) => {
      const picked = pick(message)
      if (picked === undefined) return
      settle()
      resolve(picked)
    }
    const onExit = () => {
      settle()
      reject(new Error('A process of the harness ended before it was ready'))
    }
    child.on('message', onMessage)
    child.once('exit', onExit)
  })
}

export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Resolves with the exit code (null when it died of a signal). */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  if (isRunning(child)) await once(child, 'exit')
  return child.exitCode
}
