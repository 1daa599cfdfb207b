/** The command as a process of its own, with pipes instead of a terminal. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { vi } from 'vitest'

const mainFile = fileURLToPath(new URL('../main.ts', import.meta.url))

export interface RunningCommand {
  /** What was written so far. */
  readonly stdout: string
  readonly stderr: string
  readonly exitCode: Promise<number | null>
  /** Resolves once stdout holds `text`. */
  shows(text: string): Promise<void>
  kill(signal: NodeJS.Signals): void
}

export function runCommand(
  args: readonly string[],
  options: { stdin?: string; env?: NodeJS.ProcessEnv } = {},
): RunningCommand {
  const child = spawn(process.execPath, ['--conditions=verbatim-source', mainFile, ...args], {
    env: { ...options.env },
  })
  const written = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.stderr += text))
  child.stdin.end(options.stdin ?? '')
  return {
    get stdout() {
      return written.stdout
    },
    get stderr() {
      return written.stderr
    },
    exitCode: once(child, 'close').then(([code]: unknown[]) => (typeof code === 'number' ? code : null)),
    async shows(text) {
      await vi.waitFor(() => {
        if (!written.stdout.includes(text)) throw new Error(`Not shown: ${text}; ${JSON.stringify(written)}`)
      }, 20_000)
    },
    kill(signal) {
      child.kill(signal)
    },
  }
}
