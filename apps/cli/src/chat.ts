/** `verbatim chat`: one prompt and its answer, or a conversation with a person. */
import type { VerbatimClient } from '@verbatim/client'
import { askPerson } from './ask-person.ts'
import { explainError } from './explain-error.ts'
import { cancelledExitCode, printAnswer } from './print-answer.ts'
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
  if (prompt === undefined && terminal.isInteractive) {
    await client.sessions.list({ limit: 1 }) // is there a server, and does it know us? Better told before one types
    return await converse(context, sessionId ?? crypto.randomUUID())
  }
  const said = prompt ?? (await readPrompt(process.stdin))
  const session = await openSession(client, said, sessionId)
  const end = await printAnswer(client.chat(session).send(said), terminal)
  if (sessionId === undefined) terminal.aside(`Go on with: verbatim chat --session ${session}`)
  return end === 'cancelled' ? cancelledExitCode : 0
}

/** Prompts and answers until the person leaves. A turn that fails is told, and the conversation goes on. */
export async function converse({ client, terminal, url }: CommandContext, sessionId: string): Promise<number> {
  terminal.aside(`Session ${sessionId} · Ctrl-C stops an answer, or leaves`)
  const history: string[] = []
  for (;;) {
    const prompt = await askPerson(history)
    if (prompt === undefined) return 0
    if (prompt.trim() === '') continue
    history.unshift(prompt)
    try {
      await openSession(client, prompt, sessionId)
      await printAnswer(client.chat(sessionId).send(prompt), terminal)
    } catch (error) {
      terminal.note(explainError(error, { url, sessionId }))
    }
  }
}

const maxTitleLength = 60

/** The session's id; a session that is new is called by its first prompt. */
async function openSession(client: VerbatimClient, prompt: string, sessionId?: string): Promise<string> {
  const [firstLine = ''] = prompt.trim().split('\n', 1)
  const title =
    firstLine.length > maxTitleLength ? `${firstLine.slice(0, maxTitleLength - 1).toWellFormed()}…` : firstLine
  const session = await client.sessions.create({ sessionId, title })
  return session.id
}
