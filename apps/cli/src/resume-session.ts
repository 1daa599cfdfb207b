/** `verbatim resume`: what was said last, the answer that is being made from its first word on, and then a conversation. */
import { textOf } from '@verbatim/core'
import type { Message } from '@verbatim/core'
import { converse } from './chat.ts'
import type { CommandContext } from './chat.ts'
import { cancelledExitCode, printAnswer } from './print-answer.ts'

const shownMessages = 10

/** Returns the exit code. @throws VerbatimError `SESSION_NOT_FOUND`, and why a running answer failed */
export async function resumeSession(context: CommandContext, sessionId: string): Promise<number> {
  const { client, terminal } = context
  // In this order: an answer that ends in between is among the messages too, and is shown once, by following it.
  const { activeRunId } = await client.sessions.get(sessionId)
  const { items } = await client.messages.list(sessionId, { order: 'newest', limit: shownMessages })
  for (const message of items.toReversed()) {
    if (message.runId === null || message.runId !== activeRunId || message.role === 'user')
      await print(context, message)
  }
  const end = activeRunId === null ? 'completed' : await printAnswer(client.runs.follow(activeRunId), terminal)
  if (terminal.isInteractive) return await converse(context, sessionId)
  return end === 'cancelled' ? cancelledExitCode : 0
}

async function print({ terminal }: CommandContext, { role, content, status }: Message): Promise<void> {
  const text = textOf(content).trimEnd()
  await terminal.write(role === 'user' ? `> ${text.replaceAll('\n', '\n> ')}\n` : `${text}\n`)
  if (status !== 'completed') terminal.aside(`(${status})`)
  await terminal.write('\n')
}
