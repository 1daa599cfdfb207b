/** The server that main.ts loads. Its settings are in env.ts, its parts in start-server.ts. */
import { once } from 'node:events'
import { pino } from 'pino'
import { VerbatimError } from '@verbatim/core'
import { describeEnvironment, processEnvironment, readEnvironment } from './env.ts'
import { startServer } from './start-server.ts'
import type { RunningServer } from './start-server.ts'

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) return say(describeEnvironment())
  if (args.length > 0) throw new VerbatimError('INVALID_CONFIGURATION', `There is no argument ${args[0]}; see --help`)
  const env = readEnvironment()
  // Synchronous: the last lines before a crash must not be lost.
  const logger = pino({ level: env.LOG_LEVEL }, pino.destination({ fd: 2, sync: true }))
  endOnBug((error) => logger.fatal({ err: error }, 'A fault in the program; the process ends'))
  const signal = stopSignal(() => say('Stopping; running answers may end first (press Ctrl-C again to end at once)\n'))
  const options = { processEnv: processEnvironment, logger, signal, onSlow: (line: string) => say(`${line}\n`) }
  const server = await startServer(env, options).catch((error: unknown) => {
    if (signal.aborted) return undefined // stopped while starting: the started parts are closed, so this is no failure
    throw error
  })
  if (server === undefined) return
  say(announce(server))
  // Until the first prompt there is time. What cannot be loaded is that prompt's error.
  server.warmUp().catch(() => {})
  if (!signal.aborted) await once(signal, 'abort')
  await server.stop()
}

/** A process in an unknown state must end; other processes take its runs over. */
function endOnBug(log: (error: unknown) => void): void {
  const end = (error: unknown): void => {
    log(error)
    process.exit(1)
  }
  process.on('unhandledRejection', end)
  process.on('uncaughtException', end)
}

function announce({ url, config, place }: RunningServer): string {
  const { model, isDemo, switchCommand } = config
  const answers = isDemo ? `a demo model, its words are canned. For Claude: ${switchCommand}` : model
  return `Verbatim is ready: open ${url}\n  Answers  ${answers}\n  Data     ${place}\n  Stop     Ctrl-C\n`
}

/** A Ctrl-C can arrive twice: from the terminal, and from the program between (npm, npx). */
const sameCtrlCMs = 400

/** Aborts at the first SIGINT, SIGTERM or SIGHUP. A second one, more than 400 ms later, ends the process at once. */
function stopSignal(onFirst: () => void): AbortSignal {
  const controller = new AbortController()
  let firstAt: number | undefined
  const onSignal = (name: NodeJS.Signals, number: number) => {
    if (firstAt === undefined) {
      firstAt = performance.now()
      onFirst()
      controller.abort(new Error(`Stopped by ${name}`))
    } else if (performance.now() - firstAt > sameCtrlCMs) {
      process.exit(128 + number)
    }
  }
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, onSignal)
  return controller.signal
}

function say(text: string): void {
  process.stdout.write(text)
}

main(process.argv.slice(2)).then(
  () => process.exit(0),
  (error: unknown) => {
    process.stderr.write(`Verbatim cannot run: ${error instanceof Error ? error.message : String(error)}\n`)
    process.exit(1)
  },
)
