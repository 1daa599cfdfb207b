/** A part of the bench: what it is given, and the tables that it answers. */
export interface BenchContext {
  /** The MongoDB that all groups share. */
  readonly mongoUri: string
  /** A smoke: everything is done, little of it often. */
  readonly isQuick: boolean
  readonly rounds: number
  readonly seconds: number
  readonly isProfiled: boolean
  /** Where the peers are installed, see peers/peers.ts. */
  readonly peersFolder: string
}

export interface Table {
  /** What is measured, and the aim. */
  readonly title: string
  readonly rows: readonly Readonly<Record<string, string | number>>[]
}

export type Measure = (context: BenchContext) => Promise<Table[]>

export function say(text: string): void {
  process.stderr.write(`${text}\n`)
}
