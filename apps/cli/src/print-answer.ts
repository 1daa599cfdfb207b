/**
 * One answer to the terminal, as it comes. In: a run's handle. Out: its text on stdout, how it went on stderr, and how it
 * ended. Ctrl-C stops the run at the server, which keeps what is there; a second Ctrl-C leaves at once.
 */
import { isContinued, isTerminalEvent, textOfEvent, VerbatimError } from '@verbatim/core'
import type { RunEvent, TerminalEvent } from '@verbatim/core'
import type { RunHandle } from '@verbatim/client'
import { showMetrics } from './show-metrics.ts'
import { showSources } from './show-sources.ts'
import type { Spinner } from './spinner.ts'
import type { Terminal } from './terminal.ts'

/** What is printed of an answer: its text, or each event as a line of JSON. */
export type AnswerFormat = 'text' | 'json'

/** How an answer ended that has no error. */
type AnswerEnd = 'completed' | 'refused' | 'cancelled'

/** 130 is the shell's own number for "ended by Ctrl-C". */
export const exitCodes = { completed: 0, refused: 1, cancelled: 130 } as const satisfies Record<AnswerEnd, number>

/**
 * Prints the answer, over every run that makes it, and returns how it ended.
 *
 * @throws VerbatimError why the run could not be started or followed, failed, or was interrupted
 */
export async function printAnswer(
  run: RunHandle,
  terminal: Terminal,
  format: AnswerFormat = 'text',
): Promise<AnswerEnd> {
  const printer = new AnswerPrinter(run, terminal, format)
  const unsubscribe = run.subscribe(() => printer.showConnection())
  const onCtrlC = (): void => printer.cancel()
  process.on('SIGINT', onCtrlC)
  try {
    for await (const event of run) {
      await printer.print(event)
      if (isTerminalEvent(event) && !isContinued(event)) return await printer.end(event)
    }
    throw new VerbatimError('INTERNAL', 'The answer ended without saying how')
  } finally {
    process.off('SIGINT', onCtrlC)
    unsubscribe()
    printer.stopWaiting()
    await terminal.endLine()
  }
}

class AnswerPrinter {
  readonly #run: RunHandle
  readonly #terminal: Terminal
  readonly #format: AnswerFormat
  readonly #spinner: Spinner
  #hasText = false
  #isReconnecting = false
  #isCancelling = false
  #hasEnded = false

  constructor(run: RunHandle, terminal: Terminal, format: AnswerFormat) {
    this.#run = run
    this.#terminal = terminal
    this.#format = format
    this.#spinner = terminal.spin('Waiting for the first token')
  }

  async print(event: RunEvent): Promise<void> {
    if (event.type === 'run_retrying') {
      const delay = (event.delayMs / 1000).toFixed(1)
      this.#aside(`The model's provider refuses for now; asking again in ${delay} s`)
    }
    if (isTerminalEvent(event) && isContinued(event)) {
      this.#aside('The process that answered was lost; another goes on')
    }
    const text = textOfEvent(event)
    this.#hasText ||= text !== ''
    if (this.#format === 'text' && text === '') return
    this.stopWaiting()
    if (this.#format === 'json') await this.#terminal.write(`${JSON.stringify(event)}\n`)
    else await this.#terminal.writeAnswer(text)
  }

  /** Says once that the connection is lost, and once that it is back. */
  showConnection(): void {
    const { status } = this.#run
    if (!this.#isReconnecting && status === 'reconnecting') this.#aside('The connection is lost; reconnecting …')
    if (this.#isReconnecting && status === 'streaming') this.#aside('Connected again; going on where it stopped')
    this.#isReconnecting = status === 'reconnecting'
  }

  cancel(): void {
    if (this.#isCancelling) process.exit(exitCodes.cancelled)
    this.#isCancelling = true
    this.#aside('Cancelling; press Ctrl-C again to leave without waiting')
    this.#run.cancel().catch((error: unknown) => {
      if (this.#hasEnded) return // the answer said so before the call did
      this.#aside(`It could not be cancelled: ${error instanceof Error ? error.message : String(error)}`)
    })
  }

  async end(event: TerminalEvent): Promise<AnswerEnd> {
    this.#hasEnded = true
    this.stopWaiting()
    await this.#terminal.endLine()
    for (const line of this.#sources()) this.#terminal.note(line)
    if (event.metrics.model !== null) this.#terminal.aside(showMetrics(event.metrics)) // else the model was not reached
    if (event.type === 'run_completed') return 'completed'
    this.#terminal.note(this.#hasText ? `${endings[event.type]}; what is above is kept.` : `${endings[event.type]}.`)
    if ('error' in event) throw VerbatimError.fromWire(event.error)
    return event.type === 'run_refused' ? 'refused' : 'cancelled'
  }

  /** Of all runs of the answer; a program reads them in the events. */
  #sources(): string[] {
    return this.#format === 'json' ? [] : showSources(this.#run.segments.flatMap(({ answer }) => answer.content))
  }

  stopWaiting(): void {
    this.#spinner.stop()
  }

  #aside(line: string): void {
    this.stopWaiting()
    this.#terminal.aside(line)
  }
}

const endings = {
  run_refused: 'The model refused to answer',
  run_failed: 'The answer failed',
  run_interrupted: 'The answer was interrupted',
  run_cancelled: 'Cancelled',
} as const satisfies Record<Exclude<TerminalEvent['type'], 'run_completed'>, string>
