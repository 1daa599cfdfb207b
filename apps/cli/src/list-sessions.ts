/** `verbatim sessions`: a table for people, or JSON for programs. */
import type { Session } from '@verbatim/core'
import stringWidth from 'string-width'
import type { CommandContext } from './chat.ts'
import { commandName } from './env.ts'

/** Returns the exit code. @throws VerbatimError */
export async function listSessions(
  { client, terminal }: CommandContext,
  { limit, json }: { limit: number; json: boolean },
): Promise<number> {
  const sessions: Session[] = []
  let cursor: string | null | undefined
  while (sessions.length < limit && cursor !== null) {
    const page = await client.sessions.list({ cursor, limit: Math.min(limit - sessions.length, 100) })
    sessions.push(...page.items)
    cursor = page.nextCursor
  }
  if (json) await terminal.write(`${JSON.stringify(sessions, undefined, 2)}\n`)
  else if (sessions.length === 0) terminal.note(`There are no sessions yet; \`${commandName} chat\` makes one.`)
  else await terminal.write(toTable(sessions))
  return 0
}

/** In columns of the terminal: a Chinese character takes two. */
const maxTitleWidth = 48

function toTable(sessions: readonly Session[]): string {
  const rows = [['SESSION', 'UPDATED', 'MESSAGES', 'TITLE'], ...sessions.map(toRow)]
  const widths = [0, 1, 2].map((column) => Math.max(...rows.map((row) => stringWidth(row[column] ?? ''))))
  return rows
    .map(
      (row) =>
        `${row.map((cell, column) => cell + ' '.repeat(Math.max(0, (widths[column] ?? 0) - stringWidth(cell)))).join('  ')}\n`,
    )
    .join('')
}

function toRow({ id, updatedAt, messageCount, title, activeRunId }: Session): string[] {
  const oneLine = (title ?? '').replaceAll(/\s+/g, ' ')
  const short = shorten(oneLine, maxTitleWidth)
  const updated = updatedAt.slice(0, 16).replace('T', ' ')
  return [id, updated, String(messageCount), activeRunId === null ? short : `${short} (is being answered)`.trim()]
}

/** `text` in at most `maxWidth` columns, cut between what a person sees as characters. */
function shorten(text: string, maxWidth: number): string {
  if (stringWidth(text) <= maxWidth) return text
  let short = ''
  let width = 1 // of the ellipsis
  for (const { segment } of new Intl.Segmenter().segment(text)) {
    width += stringWidth(segment)
    if (width > maxWidth) break
    short += segment
  }
  return `${short}…`
}
