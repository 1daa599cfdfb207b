import { createInterface } from 'node:readline'

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
