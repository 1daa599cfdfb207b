/**
 * Whole answers that wait for their readers. In: each answer, with its size and its caller. Out: never more bytes than a bound. Past it
 * the caller that holds most loses its oldest answer; a reader that reads is not among the oldest for long.
 */

interface OpenAnswer {
  readonly caller: string
  readonly bytes: number
  /** Cuts the answer off. */
  readonly cut: () => void
}

export class OpenAnswers {
  readonly #maxBytes: number
  readonly #open = new Set<OpenAnswer>()
  readonly #bytesByCaller = new Map<string, number>()
  #bytes = 0

  constructor({ maxOpenAnswerBytes }: { maxOpenAnswerBytes: number }) {
    this.#maxBytes = maxOpenAnswerBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** Counts an answer; call what it returns when the answer is with its reader. The newest answer itself is never cut. */
  add(answer: OpenAnswer): () => void {
    while (this.#bytes + answer.bytes > this.#maxBytes && this.#open.size > 0) this.#cutOldest()
    this.#open.add(answer)
    this.#count(answer, answer.bytes)
    return () => this.#remove(answer)
  }

  #cutOldest(): void {
    let largest: string | undefined
    for (const [caller, bytes] of this.#bytesByCaller) {
      if (bytes > (this.#bytesByCaller.get(largest ?? '') ?? 0) || largest === undefined) largest = caller
    }
    for (const answer of this.#open) {
      if (answer.caller !== largest) continue
      this.#remove(answer)
      answer.cut()
      return
    }
  }

  #remove(answer: OpenAnswer): void {
    if (this.#open.delete(answer)) this.#count(answer, -answer.bytes)
  }

  #count({ caller }: OpenAnswer, bytes: number): void {
    this.#bytes += bytes
    const total = (this.#bytesByCaller.get(caller) ?? 0) + bytes
    if (total === 0) this.#bytesByCaller.delete(caller)
    else this.#bytesByCaller.set(caller, total)
  }
}
