/** Child processes of the bench: they talk over IPC, and a child that fails ends the bench. */
import { fork } from 'node:child_process'
import type { ChildProcess } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

export function startChild(file: string, args: readonly string[], execArgv: readonly string[] = []): ChildProcess {
  const child = fork(fileURLToPath(new URL(file, import.meta.url)), args, {
    execArgv: ['--conditions=verbatim-source', ...execArgv],
  })
  child.once('exit', (code) => {
    // Null is the code of one that was killed, which is what some of them are for.
    if (code !== 0 && code !== null) throw new Error(`${file} ended with ${code}`)
  })
  return child
}

/** The child's next message. */
export async function answerOf<TMessage>(child: ChildProcess): Promise<TMessage> {
  const [message] = await once(child, 'message')
  return message as TMessage // the children are part of this program
}
