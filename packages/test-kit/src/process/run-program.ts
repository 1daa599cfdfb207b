import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** A program as a process of its own, with pipes instead of a terminal. Disposing of it kills it. */
export interface RunningProgram extends AsyncDisposable {
  /** What it has written so far. */
  readonly stdout: string
  readonly stderr: string
  /** Null after a kill. */
  readonly exitCode: Promise<number | null>
  /** Resolves when stdout holds `text`; rejects when the program ends before that. */
  shows(text: string): Promise<void>
  kill(signal: NodeJS.Signals): void
}

export interface ProgramOptions {
  readonly args?: readonly string[]
  /** All of the program's environment. */
  readonly env?: Readonly<Record<string, string | undefined>>
  readonly stdin?: string
}

/** Runs a TypeScript file on the sources of our packages. */
export function runProgram(file: URL, { args = [], env = {}, stdin = '' }: ProgramOptions = {}): RunningProgram {
  const child = spawn(process.execPath, ['--conditions=verbatim-source', fileURLToPath(file), ...args], {
    env: { ...env },
  })
  const written = { stdout: '', stderr: '' }
  child.stdout.setEncoding('utf8').on('data', (text: string) => (written.stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (written.stderr += text))
  child.stdin.on('error', () => {}).end(stdin) // a program that never reads may end first
  const exitCode = once(child, 'close').then(([code]: unknown[]) => (typeof code === 'number' ? code : null))
  return {
    get stdout() {
      return written.stdout
    },
    get stderr() {
      return written.stderr
    },
    exitCode,
    async shows(text) {
      while (!written.stdout.includes(text)) {
        const hasEnded = await Promise.race([once(child.stdout, 'data').then(() => false), exitCode.then(() => true)])
        if (hasEnded) throw new Error(`The program ended before it showed "${text}": ${JSON.stringify(written)}`)
      }
    },
    kill: (signal) => void child.kill(signal),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exitCode
    },
  }
}

/** A program that serves HTTP, when it has written where it listens and then `readyText`. */
export async function startServerProgram(
  file: URL,
  { readyText = '\n', ...options }: ProgramOptions & { readonly readyText?: string } = {},
): Promise<RunningProgram & { readonly url: string }> {
  const program = runProgram(file, options)
  await program.shows('http://127.0.0.1:')
  await program.shows(readyText)
  return Object.assign(program, { url: /http:\/\/127\.0\.0\.1:\d+/.exec(program.stdout)?.[0] ?? '' })
}
