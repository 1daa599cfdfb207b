/**
 * Where a command writes: what was asked for to stdout, everything about it to stderr. Colour and movement are for people,
 * so a stream that is no terminal gets neither.
 */
import { once } from 'node:events'
import { isPlain } from './env.ts'
import { MarkdownStyle } from './markdown-style.ts'
import { startSpinner } from './spinner.ts'
import type { Spinner } from './spinner.ts'

/** The three streams of this program. */
export class Terminal {
  #isAtLineStart = true
  readonly #style = process.stdout.isTTY && !isPlain ? new MarkdownStyle() : undefined

  constructor() {
    // `verbatim chat … | head`: who reads has enough. The run goes on at the server.
    process.stdout.on('error', (error: NodeJS.ErrnoException) => process.exit(error.code === 'EPIPE' ? 0 : 1))
  }

  /** True when a person can be asked. */
  get isInteractive(): boolean {
    return process.stdin.isTTY && process.stderr.isTTY
  }

  /** Writes to stdout, exactly to a file and harmlessly to a terminal; resolves when more may be written. */
  async write(text: string): Promise<void> {
    if (text === '') return
    this.#isAtLineStart = text.endsWith('\n')
    await this.#put(process.stdout.isTTY ? toPrintable(text) : text)
  }

  async #put(text: string): Promise<void> {
    if (!process.stdout.write(text)) await once(process.stdout, 'drain')
  }

  /** Writes a piece of an answer: Markdown, which a terminal shows with weight and colour. */
  async writeAnswer(text: string): Promise<void> {
    if (this.#style === undefined) return await this.write(text)
    this.#isAtLineStart = text.endsWith('\n')
    await this.#put(this.#style.style(toPrintable(text)))
  }

  /** Ends the line on stdout that is not ended yet. */
  async endLine(): Promise<void> {
    if (this.#style !== undefined) await this.#put(this.#style.end())
    if (!this.#isAtLineStart) await this.write('\n')
  }

  /** A line to stderr; on a line of its own also in the middle of an answer, where both are the same screen. */
  note(line: string): void {
    const isShared = process.stdout.isTTY && process.stderr.isTTY
    process.stderr.write(`${isShared && !this.#isAtLineStart ? '\n' : ''}${line}\n`)
    if (isShared) this.#isAtLineStart = true
  }

  /** As `note`, for what may be overlooked. */
  aside(line: string): void {
    this.note(process.stderr.isTTY && !isPlain ? `\u001B[2m${line}\u001B[22m` : line)
  }

  /** Shows that something is waited for, until it is stopped; nothing when stderr is no terminal. */
  spin(text: string): Spinner {
    return startSpinner(process.stderr, text)
  }
}

/** Without control characters: what a model or a title says must not move the cursor or write the clipboard. */
export function toPrintable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n\t]/gu, '')
}
