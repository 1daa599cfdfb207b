import { createInterface } from 'node:readline'
import { createInterface as createPrompter } from 'node:readline/promises'

/** Lines of one paste arrive within this time; they are one prompt, in milliseconds. */
const pasteMs = 30

/**
 * Asks for a prompt on the terminal. What is pasted in several lines is one prompt.
 *
 * @param history prompts of before, newest first, for the arrow keys
 * @returns undefined when the person leaves (Ctrl-C, Ctrl-D)
 */
export async function askPerson(history: readonly string[]): Promise<string | undefined> {
  // Made anew for each prompt: while one is open the terminal is raw, and Ctrl-C in an answer would be no signal.
  const readline = createInterface({
    input: process.stdin,
    // Not stdout: that is for answers, and may be a file.
    output: process.stderr,
    terminal: true,
    history: [...history],
    prompt: '> ',
  })
  const lines: string[] = []
  let timer: NodeJS.Timeout | undefined
  try {
    return await new Promise<string | undefined>((resolve) => {
      readline.on('line', (line) => {
        lines.push(line)
        clearTimeout(timer)
        timer = setTimeout(() => {
          // The end of a paste that Enter did not end.
          if (readline.line !== '') process.stderr.write('\n')
          resolve([...lines, readline.line].join('\n').trimEnd())
        }, pasteMs)
      })
      readline.on('SIGINT', () => readline.close())
      readline.on('close', () => {
        if (lines.length > 0) return // asked and answered, or about to be
        process.stderr.write('\n') // what the shell says next begins on a line of its own
        resolve(undefined)
      })
      readline.prompt()
    })
  } finally {
    clearTimeout(timer)
    readline.close()
  }
}

/** Asks for a yes or a no; everything but `y` and `yes` is a no, and so is leaving. */
export async function confirm(question: string): Promise<boolean> {
  const prompter = createPrompter({ input: process.stdin, output: process.stderr, terminal: true })
  try {
    return /^y(?:es)?$/i.test((await prompter.question(`${question} [y/N] `)).trim())
  } catch {
    return false // Ctrl-C and Ctrl-D reject
  } finally {
    prompter.close()
  }
}
