/** `verbatim resume`: what was said last, the answer that is being made from its first word on, and then a conversation. */
import { textOf } from '@verbatim/core'
import type { Message, RunId } from '@verbatim/core'
import type { CommandContext } from './chat.ts'
import { converse } from './converse.ts'
import { exitCodes, printAnswer } from './print-answer.ts'
import type { Terminal } from './terminal.ts'

const shownMessages = 10

/** Returns the exit code. @throws VerbatimError `SESSION_NOT_FOUND`, and why a running answer failed */
export async function resumeSession(context: CommandContext, sessionId: string): Promise<number> {
  const { client, terminal } = context
  // In this order: an answer that ends in between is among the messages too, and is shown once, by following it.
  const { activeRunId } = await client.sessions.get(sessionId)
  const { items } = await client.messages.list(sessionId, { order: 'newest', limit: shownMessages })
  await printStored(terminal, items.toReversed(), activeRunId)
  const end = activeRunId === null ? 'completed' : await printAnswer(client.runs.follow(activeRunId), terminal)
  if (terminal.isInteractive) return await converse(context, sessionId)
  return exitCodes[end]
}

/**
 * Prints what the active run will not show by being followed. An answer in parts is printed as one: without the prompts that
 * the server wrote to ask for the rest.
 */
async function printStored(terminal: Terminal, messages: readonly Message[], activeRunId: RunId | null): Promise<void> {
  const continued = new Set(messages.map(({ continuationOf }) => continuationOf))
  const followed = new Set<RunId | null>(activeRunId === null ? [] : [activeRunId])
  for (const { role, content, status, runId, continuationOf } of messages) {
    if (continuationOf !== null && followed.has(continuationOf)) followed.add(runId)
    if (role === 'user') {
      if (continuationOf === null) await terminal.write(`> ${textOf(content).trimEnd().replaceAll('\n', '\n> ')}\n\n`)
    } else if (runId !== null && continued.has(runId) && !followed.has(runId)) {
      await terminal.writeAnswer(textOf(content))
    } else if (runId === null || !followed.has(runId)) {
      await terminal.writeAnswer(`${textOf(content).trimEnd()}\n`)
      await terminal.endLine()
      if (status !== 'completed') terminal.aside(`(${status})`)
      await terminal.write('\n')
    }
  }
}
