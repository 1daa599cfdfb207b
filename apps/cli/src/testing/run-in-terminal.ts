import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'

/** The command on a terminal of its own: what a person types, and what the screen shows. Disposing of it kills it. */
export interface TerminalRun extends AsyncDisposable {
  /** Everything that reached the screen, with its control sequences. */
  readonly screen: string
  readonly exitCode: Promise<number | null>
  /** Resolves when the screen holds `text` after what the call before waited for; rejects when the command ends without it. */
  shows(text: string): Promise<void>
  type(keys: string): void
}

const mainFile = fileURLToPath(new URL('../main.ts', import.meta.url))

/** Runs the command under `script` of util-linux, which gives it a terminal. */
export function runInTerminal(args: readonly string[], env: Readonly<Record<string, string>> = {}): TerminalRun {
  const words = [process.execPath, '--conditions=verbatim-source', mainFile, ...args]
  const quoted = words.map((word) => `'${word.replaceAll("'", String.raw`'\''`)}'`)
  // A shell that stayed would count the first Ctrl-C as its own end.
  const line = `exec ${quoted.join(' ')}`
  const child = spawn('/usr/bin/script', ['--quiet', '--return', '--flush', '--command', line, '/dev/null'], {
    env: { TERM: 'xterm-256color', ...env },
  })
  let screen = ''
  let shownUpTo = 0
  child.stdout.setEncoding('utf8').on('data', (text: string) => (screen += text))
  const exitCode = once(child, 'close').then(([code]: unknown[]) => (typeof code === 'number' ? code : null))
  return {
    get screen() {
      return screen
    },
    exitCode,
    async shows(text) {
      while (!screen.includes(text, shownUpTo)) {
        const hasEnded = await Promise.race([once(child.stdout, 'data').then(() => false), exitCode.then(() => true)])
        if (hasEnded && !screen.includes(text, shownUpTo)) {
          throw new Error(`The command ended before the screen showed "${text}": ${JSON.stringify(screen)}`)
        }
      }
      shownUpTo = screen.indexOf(text, shownUpTo) + text.length
    },
    type: (keys) => void child.stdin.write(keys),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL')
      await exitCode
    },
  }
}
