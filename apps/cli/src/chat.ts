/** `verbatim chat`: one prompt and its answer, or a conversation with a person. */
import type { VerbatimClient } from '@verbatim/client'
import { askPerson } from './ask-person.ts'
import { explainError } from './explain-error.ts'
import { exitCodes, printAnswer } from './print-answer.ts'
import { readPrompt } from './read-prompt.ts'
import type { Terminal } from './terminal.ts'

/** What the commands work with. */
export interface CommandContext {
  readonly client: VerbatimClient
  readonly terminal: Terminal
  readonly url: string
}

/** What `verbatim chat` was given. */
export interface ChatInput {
  readonly prompt?: string | undefined
  readonly sessionId?: string | undefined
}

/** Returns the exit code. @throws VerbatimError */
export async function chat(context: CommandContext, { prompt, sessionId }: ChatInput): Promise<number> {
  const { client, terminal } = context
  // Is there a server, and does it know us? Better told before one types, and at once: a start is tried again for a while.
  await client.sessions.list({ limit: 1 })
  if (prompt === undefined && terminal.isInteractive) {
    return await converse(context, sessionId ?? crypto.randomUUID())
  }
  const said = prompt ?? (await readPrompt(process.stdin))
  const id = sessionId ?? crypto.randomUUID()
  const end = await printAnswer(client.chat(id).send(said), terminal)
  if (sessionId === undefined) terminal.aside(`Go on with: verbatim chat --session ${id}`)
  return exitCodes[end]
}

/** Prompts and answers until the person leaves. The command reports a turn that fails and goes on. */
export async function converse({ client, terminal, url }: CommandContext, sessionId: string): Promise<number> {
  terminal.aside(`Session ${sessionId} · Ctrl-C stops an answer, or leaves`)
  const history: string[] = []
  for (;;) {
    const prompt = await askPerson(history)
    if (prompt === undefined) return 0
    if (prompt.trim() === '') continue
    history.unshift(prompt)
    try {
      await printAnswer(client.chat(sessionId).send(prompt), terminal)
    } catch (error) {
      terminal.note(explainError(error, { url, sessionId }))
    }
  }
}
