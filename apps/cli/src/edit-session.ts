/** `verbatim rename` and `verbatim delete`. */
import { VerbatimError } from '@verbatim/core'
import { confirm } from './ask-person.ts'
import type { CommandContext } from './chat.ts'

/** Returns the exit code. @throws VerbatimError `SESSION_NOT_FOUND` */
export async function renameSession(
  { client, terminal }: CommandContext,
  { sessionId, title }: { sessionId: string; title: string },
): Promise<number> {
  await client.sessions.update({ sessionId, title })
  terminal.note(`Session ${sessionId} is now called "${title}".`)
  return 0
}

/** Asks before it deletes, unless `yes`. Returns the exit code. @throws VerbatimError `SESSION_NOT_FOUND` */
export async function deleteSession(
  { client, terminal }: CommandContext,
  { sessionId, yes }: { sessionId: string; yes: boolean },
): Promise<number> {
  const { title, messageCount } = await client.sessions.get(sessionId)
  if (!yes) {
    if (!terminal.isInteractive) throw new VerbatimError('INVALID_INPUT', 'Deleting asks a person; pass --yes')
    const named = title === null ? sessionId : `"${title}"`
    if (!(await confirm(`Delete ${named} with its ${messageCount} messages, for good?`))) return 1
  }
  await client.sessions.delete(sessionId)
  terminal.note(`Session ${sessionId} is deleted.`)
  return 0
}
