/** The server of `npm start`. See env.ts for its settings, start-server.ts for its parts. */
import { once } from 'node:events'
import { pino } from 'pino'
import { VerbatimError } from '@verbatim/core'
import { announce } from './announce.ts'
import { describeEnvironment, processEnvironment, readEnvironment } from './env.ts'
import { startServer } from './start-server.ts'
import { stopSignal } from './stop-signal.ts'

async function main(args: readonly string[]): Promise<void> {
  if (args.includes('--help') || args.includes('-h')) return say(describeEnvironment())
  if (args.length > 0) throw new VerbatimError('INVALID_CONFIGURATION', `There is no argument ${args[0]}; see --help`)
  const env = readEnvironment()
  // Written at once: what is logged last before a crash is what one needs.
  const logger = pino({ level: env.LOG_LEVEL }, pino.destination({ fd: 2, sync: true }))
  endOnBug((error) => logger.fatal({ err: error }, 'A fault in the program; it ends'))
  const signal = stopSignal(() => say('Stopping; answers that run may end first (press Ctrl-C again to end at once)\n'))
  const options = { processEnv: processEnvironment, logger, signal, onSlow: (line: string) => say(`${line}\n`) }
  const server = await startServer(env, options).catch((error: unknown) => {
    if (signal.aborted) return undefined // asked to stop while starting: nothing is left, and that is no failure
    throw error
  })
  if (server === undefined) return
  say(announce(server))
  if (!signal.aborted) await once(signal, 'abort')
  await server.stop()
}

/** Code that is in an unknown state must not go on; other processes take its runs over. */
function endOnBug(log: (error: unknown) => void): void {
  const end = (error: unknown): void => {
    log(error)
    process.exit(1)
  }
  process.on('unhandledRejection', end)
  process.on('uncaughtException', end)
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
