/** Child processes of the harness: they report over IPC, and none outlives the harness. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { on, once } from 'node:events'

const children = new Set<ChildProcess>()
// A stopped child does not notice that its parent exits.
process.on('exit', () => children.forEach((child) => child.kill('SIGKILL')))

/** @param path from src/ */
export function startProgram(path: string): ChildProcess {
  const child = fork(new URL(`../${path}`, import.meta.url), {
    execArgv: ['--conditions=verbatim-source', '--disable-warning=ExperimentalWarning'],
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
    serialization: 'json',
  })
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

/** The first message for which `pick` returns a value. @throws when the child ends before */
export async function messageOf<TResult>(
  child: ChildProcess,
  pick: (message: unknown) => TResult | undefined,
): Promise<TResult> {
  for await (const [message] of on(child, 'message', { close: ['exit'] })) {
    const picked = pick(message)
    if (picked !== undefined) return picked
  }
  throw new Error('A process of the harness ended before it was ready')
}

export function isRunning(child: ChildProcess): boolean {
  return child.exitCode === null && child.signalCode === null
}

/** Resolves to the exit code, which is null after a signal. */
export async function exitOf(child: ChildProcess): Promise<number | null> {
  if (isRunning(child)) await once(child, 'exit')
  return child.exitCode
}
