#!/usr/bin/env node
/** The command `verbatim`. Exit codes: 0 done, 1 an error told in one sentence on stderr, 130 cancelled. */
import { Command, InvalidArgumentError } from 'commander'
import { chat } from './chat.ts'
import type { CommandContext } from './chat.ts'
import { connect, withConnectOptions } from './connect.ts'
import type { ConnectOptions } from './connect.ts'
import { explainError } from './explain-error.ts'
import { listSessions } from './list-sessions.ts'
import { resumeSession } from './resume-session.ts'
import { Terminal } from './terminal.ts'

const program = new Command('verbatim')
  .description('Talks to a Verbatim server. Answers go to stdout, everything about them to stderr.')
  .addHelpText(
    'after',
    `
Examples:
  verbatim chat                            a conversation; Ctrl-C stops an answer, which is kept
  verbatim chat "Explain async iteration"  one answer
  git diff | verbatim chat                 what comes through the pipe is the prompt
  verbatim resume <sessionId>              goes on, also in the middle of an answer`,
  )

withConnectOptions(program.command('chat'))
  .description('ask something, or talk when no prompt is named')
  .argument('[prompt]', 'what to ask; from the pipe when left out')
  .option('--session <id>', 'the session to go on with, made when it is new')
  .action(async (prompt: string | undefined, options: ConnectOptions & { session?: string }) => {
    const sessionId = options.session
    await run({ ...options, sessionId }, async (context) => await chat(context, { prompt, sessionId }))
  })

withConnectOptions(program.command('resume'))
  .description('show the end of a session, with the answer that is being made, and go on')
  .argument('<sessionId>', 'see `verbatim sessions`')
  .action(async (sessionId: string, options: ConnectOptions) => {
    await run({ ...options, sessionId }, async (context) => await resumeSession(context, sessionId))
  })

withConnectOptions(program.command('sessions'))
  .description('list your sessions, the one used last first (times are UTC)')
  .option('--limit <count>', 'how many at most', toCount, 20)
  .option('--json', 'as JSON', false)
  .action(async (options: ConnectOptions & { limit: number; json: boolean }) => {
    await run(options, async (context) => await listSessions(context, options))
  })

/** Runs a command with a client of its own, and sets the exit code: output that is under way is not cut off. */
async function run(
  options: ConnectOptions & { readonly sessionId?: string | undefined },
  command: (context: CommandContext) => Promise<number>,
): Promise<void> {
  const { url, sessionId } = options
  const terminal = new Terminal()
  try {
    await using client = connect(options)
    process.exitCode = await command({ client, terminal, url })
  } catch (error) {
    terminal.note(explainError(error, { url, sessionId }))
    process.exitCode = 1
  }
}

function toCount(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count > 0) return count
  throw new InvalidArgumentError('It must be a whole number over 0.')
}

await program.parseAsync()
