/** The command `verbatim`. Exit codes: 0 done, 1 an error told in one sentence on stderr, 130 cancelled. */
import { readFile } from 'node:fs/promises'
import { Command, InvalidArgumentError } from 'commander'
import { chat } from './chat.ts'
import type { ChatInput, CommandContext } from './chat.ts'
import { connect, withConnectOptions } from './connect.ts'
import type { ConnectOptions } from './connect.ts'
import { deleteSession, renameSession } from './edit-session.ts'
import { commandName } from './env.ts'
import { explainError } from './explain-error.ts'
import { listSessions } from './list-sessions.ts'
import { resumeSession } from './resume-session.ts'
import { Terminal } from './terminal.ts'

const program = new Command(commandName)
  .version(await readVersion(), '--version')
  .description('Talks to a Verbatim server. Answers go to stdout, everything about them to stderr.')
  .showHelpAfterError(`See ${commandName} --help`)
  .addHelpText(
    'after',
    `
Examples:
  ${commandName} chat                            a conversation; Ctrl-C stops an answer, which is kept
  ${commandName} chat "Explain async iteration"  one answer
  ${commandName} chat "What is this?" -f tree.png  about a file
  git diff | ${commandName} chat "Review this"   what comes through the pipe follows the prompt
  ${commandName} chat --continue                 goes on with the session used last
  ${commandName} resume <sessionId>              goes on, also in the middle of an answer`,
  )

withConnectOptions(program.command('chat'))
  .description('ask something, or talk when no prompt is named')
  .argument('[prompt]', 'what to ask; what comes through a pipe follows it')
  .option('--session <id>', 'the session to go on with, made when it is new')
  .option('-c, --continue', 'go on with the session used last', false)
  .option('-f, --file <path>', 'a file that the prompt is about (image, PDF, text); may be named again', addTo, [])
  .option('--json', 'print the events of the answer, one a line', false)
  .action(async (prompt: string | undefined, options: ChatOptions) => {
    if (options.continue && options.session !== undefined) program.error('Name a session, or --continue, not both.')
    const sessionId = options.session
    await run({ ...options, sessionId }, async (context) => await chat(context, { ...options, prompt, sessionId }))
  })

withConnectOptions(program.command('resume'))
  .description('show the end of a session, with the answer that is being made, and go on')
  .argument('<sessionId>', 'see the command sessions')
  .action(async (sessionId: string, options: ConnectOptions) => {
    await run({ ...options, sessionId }, async (context) => await resumeSession(context, sessionId))
  })

withConnectOptions(program.command('sessions'))
  .alias('list')
  .description('list your sessions, the one used last first (times are UTC)')
  .option('--limit <count>', 'how many at most', toCount, 20)
  .option('--json', 'as JSON', false)
  .action(async (options: ConnectOptions & { limit: number; json: boolean }) => {
    await run(options, async (context) => await listSessions(context, options))
  })

withConnectOptions(program.command('rename'))
  .description('give a session another title')
  .argument('<sessionId>', 'see the command sessions')
  .argument('<title>', 'the new title')
  .action(async (sessionId: string, title: string, options: ConnectOptions) => {
    await run({ ...options, sessionId }, async (context) => await renameSession(context, { sessionId, title }))
  })

withConnectOptions(program.command('delete'))
  .description('delete a session for good, with its messages and answers')
  .argument('<sessionId>', 'see the command sessions')
  .option('-y, --yes', 'without asking', false)
  .action(async (sessionId: string, options: ConnectOptions & { yes: boolean }) => {
    const { yes } = options
    await run({ ...options, sessionId }, async (context) => await deleteSession(context, { sessionId, yes }))
  })

type ChatOptions = ConnectOptions & Pick<ChatInput, 'continue' | 'file' | 'json'> & { readonly session?: string }

async function readVersion(): Promise<string> {
  const { version } = JSON.parse(await readFile(new URL('../package.json', import.meta.url), 'utf8')) as {
    version: string
  }
  return version
}

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

function addTo(path: string, paths: readonly string[]): string[] {
  return [...paths, path]
}

function toCount(text: string): number {
  const count = Number(text)
  if (Number.isInteger(count) && count > 0) return count
  throw new InvalidArgumentError('It must be a whole number over 0.')
}

await program.parseAsync()
