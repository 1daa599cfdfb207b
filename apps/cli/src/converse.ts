/** A conversation with a person: prompts and answers until the person leaves. */
import { askPerson } from './ask-person.ts'
import type { CommandContext } from './chat.ts'
import { explainError } from './explain-error.ts'
import { printAnswer } from './print-answer.ts'

const help = `/new    begins another session
/exit   leaves, as exit, quit, Ctrl-C and Ctrl-D do
/help   shows this
Ctrl-C stops an answer; what is there is kept. ↑ brings earlier prompts back.
A prompt that begins with a slash, or is one of these words: put a space before it.`

/** What people type to leave other programs. */
const leaving: readonly string[] = ['/exit', '/quit', 'exit', 'quit']

/** Returns the exit code. The command reports a turn that fails and goes on. */
export async function converse({ client, terminal, url }: CommandContext, firstSessionId: string): Promise<number> {
  let sessionId = firstSessionId
  const greet = (): void => terminal.aside(`Session ${sessionId} · Ctrl-C stops an answer, or leaves · /help`)
  greet()
  const history: string[] = []
  for (;;) {
    const prompt = await askPerson(history)
    if (prompt === undefined || leaving.includes(prompt)) return 0
    if (prompt.trim() === '') continue
    history.unshift(prompt)
    if (prompt === '/new') {
      sessionId = crypto.randomUUID()
      greet()
    } else if (/^\/\w*$/.test(prompt)) {
      terminal.note(prompt === '/help' ? help : `There is no command ${prompt}; /help shows those that there are.`)
    } else {
      try {
        await printAnswer(client.chat(sessionId).send(prompt.trimStart()), terminal)
      } catch (error) {
        terminal.note(explainError(error, { url, sessionId }))
      }
    }
  }
}
