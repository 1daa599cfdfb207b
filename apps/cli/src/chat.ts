/** `verbatim chat`: one prompt and its answer, or a conversation with a person. */
import { VerbatimError } from '@verbatim/core'
import type { VerbatimClient } from '@verbatim/client'
import { withFiles } from './attach-files.ts'
import { converse } from './converse.ts'
import { commandName } from './env.ts'
import { explainError } from './explain-error.ts'
import { exitCodes, printAnswer } from './print-answer.ts'
import { readPipe, readPrompt } from './read-prompt.ts'
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
  /** Go on with the session used last. */
  readonly continue: boolean
  /** Files that the prompt is about. */
  readonly file: readonly string[]
  /** Print events instead of text. */
  readonly json: boolean
}

/** Returns the exit code. @throws VerbatimError */
export async function chat(context: CommandContext, input: ChatInput): Promise<number> {
  const { client, terminal, url } = context
  // Is there a server, and does it know us? Better told before one types, and at once: a start is tried again for a while.
  const { items } = await client.sessions.list({ limit: 1 })
  const last = input.continue ? items[0]?.id : undefined
  if (input.continue && last === undefined) {
    throw new VerbatimError('SESSION_NOT_FOUND', 'There is no session yet to go on with')
  }
  const sessionId = input.sessionId ?? last
  const id = sessionId ?? crypto.randomUUID()
  if (input.prompt === undefined && terminal.isInteractive && input.file.length === 0) {
    if (input.json) throw new VerbatimError('INVALID_INPUT', '--json takes a prompt; name one, or pipe one in')
    return await converse(context, id)
  }
  const text = await wholePrompt(input.prompt)
  const prompt = await withFiles(context, text, input.file)
  try {
    const end = await printAnswer(client.chat(id).send(prompt), terminal, input.json ? 'json' : 'text')
    if (sessionId === undefined) terminal.aside(`Go on with: ${commandName} chat --session ${id}`)
    return exitCodes[end]
  } catch (error) {
    // Here and not by the caller, who does not know which session --continue has found.
    terminal.note(explainError(error, { url, sessionId: id }))
    return 1
  }
}

/** `git diff | verbatim chat "review this"`: the prompt, and after it what comes through the pipe. */
async function wholePrompt(named: string | undefined): Promise<string> {
  if (named === undefined) return await readPrompt(process.stdin)
  const piped = process.stdin.isTTY ? '' : await readPipe(process.stdin)
  return piped.trim() === '' ? named : `${named}\n\n${piped}`
}
