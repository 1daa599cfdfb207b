/**
 * Counts that the bodies of one transaction share. Each of them adds what it is to store: a read would not see what the others have collected
 * (see collected-writes.ts), and one read is enough for all.
 */
export class SharedCounts {
  readonly #counts = new Map<string, number>()

  /**
   * Adds one where there are less than `limit`; answers false where there are not. What is full once stays full for this transaction, because
   * the read went no further than the limit.
   *
   * @param read how many are stored; asked once
   * @param guard called once, before the first is added: by what it writes, the transaction meets others that add to the same count
   */
  async add(of: string, limit: number, { read, guard }: CountSource): Promise<boolean> {
    const known = this.#counts.get(of)
    const count = known ?? (await read())
    const isFull = count >= limit
    if (known === undefined && !isFull) await guard?.()
    this.#counts.set(of, isFull ? Infinity : count + 1)
    return !isFull
  }

  /** Takes off what is not stored after all, or has ended. */
  subtract(of: string, n: number): void {
    const count = this.#counts.get(of)
    if (count !== undefined) this.#counts.set(of, count - n)
  }
}

export interface CountSource {
  readonly read: () => Promise<number>
  readonly guard?: () => Promise<void>
}
